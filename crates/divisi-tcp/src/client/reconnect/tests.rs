use super::*;

#[test]
fn pauses_double_up_to_a_limit_and_are_never_the_same_for_all() {
    let limits = Limits {
        reconnect_first: Duration::from_millis(50),
        reconnect_max: Duration::from_millis(300),
        ..Limits::default()
    };
    for _ in 0..200 {
        let mut backoff = Backoff::new(&limits);
        for whole in [50, 100, 200, 300, 300] {
            let pause = backoff.pause();
            let whole = Duration::from_millis(whole);
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(50));
    }
    let pauses: Vec<_> = (0..50).map(|_| Backoff::new(&limits).pause()).collect();
    assert!(pauses.iter().any(|pause| *pause != pauses[0]), "a thousand callers do not come at once");
}
