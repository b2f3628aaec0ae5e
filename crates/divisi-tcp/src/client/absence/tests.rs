use super::*;

#[test]
fn who_comes_within_the_first_seconds_was_no_trouble() {
    let (mut absence, began) = (Absence::default(), Instant::now());
    assert!(!absence.seen(began, true));
    assert!(!absence.seen(began + TOLD_AFTER / 2, true));
    absence.over();
    assert!(!absence.seen(began + TOLD_AFTER * 2, true), "it is another absence");
}

#[test]
fn who_stays_away_is_told_of_once() {
    let (mut absence, began) = (Absence::default(), Instant::now());
    assert!(!absence.seen(began, true));
    assert!(absence.seen(began + TOLD_AFTER, true));
    assert!(!absence.seen(began + TOLD_AFTER * 9, true));
    absence.over();
    assert!(!absence.seen(began + TOLD_AFTER * 10, true));
    assert!(absence.seen(began + TOLD_AFTER * 11, true));
}

#[test]
fn what_does_not_pass_is_told_of_at_once_and_once() {
    let (mut absence, began) = (Absence::default(), Instant::now());
    assert!(absence.seen(began, false));
    assert!(!absence.seen(began + TOLD_AFTER, false));
}
