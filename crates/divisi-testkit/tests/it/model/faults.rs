//! Named faults of relays and carriers, one by one: each test shows what only its fault can cause, and no harm.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::event::LANES;
use divisi_events::lane::Input;
use divisi_events::relay::{Granted, Relay, RelayError};
use divisi_store::{Lane, Pos};
use divisi_testkit::{Disk, Faults, FaultyFeed, MemoryCarrier, Reached, Watched, simulate};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::counted::{Counted, KEYS, TOPIC, lane, lanes};
use super::reader::{Reader, Step, Working};
use super::relays::{Believes, Relays};
use super::source::{Life, SOURCE};

/// A source, a carrier without faults, and a reader that follows the carrier.
struct Bench {
    _disk: Disk,
    life: Life,
    carrier: MemoryCarrier,
    reader: Reader,
    reached: Arc<Watched<Reached>>,
    versions: [i64; 4],
    uid: i64,
    relay: Option<JoinHandle<()>>,
}

impl Bench {
    async fn begin() -> Bench {
        let mut disk = Disk::new().expect("a directory");
        let life = Life::first(&mut disk).await;
        let reader = Reader::open(&mut disk).await;
        let carrier = MemoryCarrier::new(Faults::NONE, 1);
        reader.begin_on_carrier(&carrier.start()).await;
        let reached = Watched::new(Reached { today: Some(life.feed()), old: Vec::new(), calm: true });
        Bench {
            _disk: disk,
            life,
            carrier,
            reader,
            reached: Arc::new(reached),
            versions: [0; 4],
            uid: 0,
            relay: None,
        }
    }

    fn consume(&self) -> Working {
        let feed = Arc::new(FaultyFeed::new(Arc::clone(&self.reached), 1));
        self.reader.consume(1, feed, Some(Arc::new(self.carrier.clone())))
    }

    fn relay(&mut self) {
        let lease = Arc::new(Granted::new(self.life.store.clone()));
        let carrier = Arc::new(self.carrier.clone());
        let relay = Relay::new(self.life.store.clone(), TOPIC, lanes(), self.life.feed(), carrier, lease);
        self.relay = Some(tokio::spawn(relay.run(std::future::pending())));
    }

    fn relay_with(&self, lease: Arc<Believes>) -> Relay {
        let carrier = Arc::new(self.carrier.clone());
        Relay::new(self.life.store.clone(), TOPIC, lanes(), self.life.feed(), carrier, lease)
    }

    async fn announce(&mut self, n: i64) {
        let mut events = Vec::new();
        for _ in 0..n {
            let key = self.uid as usize % 4;
            self.uid += 1;
            self.versions[key] += 1;
            let (key, version) = (KEYS[key].clone(), self.versions[key]);
            events.push(Counted { key, version, uid: self.uid, after: None, failures: 0 });
        }
        self.life.announce(events).await;
    }

    /// Waits until all that was announced has taken effect; how long that took.
    async fn caught_up(&self, within: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let (marks, heads) = (self.reader.watermarks().await, self.life.heads().await);
            if marks.iter().map(|(lane, _, pos)| (*lane, *pos)).eq(heads) {
                return began.elapsed();
            }
            assert!(began.elapsed() < within, "not within {within:?}: heads {heads:?}, watermarks {marks:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every event took effect once, in order.
    async fn look(&self) {
        let mut applied: [Vec<i64>; 4] = Default::default();
        for lane in lanes() {
            for step in self.reader.history(lane).await {
                let Step::Applied { key, version, .. } = step else { panic!("lane {lane} went back") };
                applied[KEYS.iter().position(|known| *known == key).expect("a key of ours")].push(version);
            }
        }
        for (applied, announced) in applied.iter().zip(self.versions) {
            assert!(applied.iter().copied().eq(1..=announced), "{announced} were announced: {applied:?}");
        }
    }

    fn held(&self, lane: Lane) -> Vec<i64> {
        self.carrier.holds(&SOURCE.into(), TOPIC, lane).iter().map(|record| record.pos.0).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.relay.iter().for_each(JoinHandle::abort);
    }
}

fn inputs(working: &Working) -> [Input; 2] {
    let status = working.observer.status();
    lanes().map(|lane| status.inputs[0].lanes[usize::from(lane.0)].input)
}

#[test]
fn f_12_a_record_that_fails_within_a_batch_is_sent_again_and_those_behind_it_wait() {
    simulate(12, async {
        let mut bench = Bench::begin().await;
        bench.carrier.set_faults(Faults { lost: 0.3, ..Faults::NONE });
        bench.announce(40).await;
        bench.relay();
        let _consumer = bench.consume();
        bench.caught_up(Duration::from_secs(60)).await;
        bench.look().await;
        let came_early = lanes().iter().any(|lane| bench.held(*lane).windows(2).any(|two| two[0] > two[1]));
        assert!(
            came_early,
            "a record stands behind one that followed it: {:?}",
            lanes().map(|lane| bench.held(lane))
        );
    });
}

#[test]
fn f_13_a_lost_acknowledgement_makes_a_copy_and_one_effect() {
    simulate(13, async {
        let mut bench = Bench::begin().await;
        bench.carrier.set_faults(Faults { unacknowledged: 0.3, ..Faults::NONE });
        bench.announce(40).await;
        bench.relay();
        let _consumer = bench.consume();
        bench.caught_up(Duration::from_secs(60)).await;
        let copied = async {
            while bench.carrier.counted().stored <= 40 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(60), copied).await.expect("what was not acknowledged is sent again");
        assert!(bench.carrier.counted().unacknowledged > 0);
        sleep(Duration::from_secs(1)).await;
        bench.look().await;
    });
}

#[test]
fn f_14_a_relay_that_wakes_up_after_another_took_over_is_refused_twice() {
    simulate(14, async {
        let mut bench = Bench::begin().await;
        let _consumer = bench.consume();
        let (first, second) = Believes::two();
        let (mut stopped, mut leads) = (bench.relay_with(first), bench.relay_with(second));
        bench.announce(8).await;
        stopped.start().await.expect("the first relay starts");
        assert_eq!(stopped.step(1, Duration::ZERO).await.expect("it publishes").published, 8);
        leads.start().await.expect("the second relay starts");
        bench.announce(8).await;
        assert_eq!(leads.step(2, Duration::ZERO).await.expect("it publishes").published, 8);

        // The carrier compares fences.
        let refused = fenced(&mut stopped).await;
        assert!(refused, "the carrier refuses the older token");
        assert!(bench.carrier.counted().fenced > 0);
        // One that does not: the copies do no harm, and the cursor does not move.
        bench.carrier.set_faults(Faults { fences: false, ..Faults::NONE });
        assert!(fenced(&mut stopped).await, "the cursor's transaction refuses the older token");
        assert!(
            bench.carrier.counted().stored > 16,
            "the stopped relay published copies: {:?}",
            bench.carrier.counted()
        );
        bench.caught_up(Duration::from_secs(10)).await;
        bench.look().await;
    });
}

/// Steps until the relay is told that another leads.
async fn fenced(relay: &mut Relay) -> bool {
    for _ in 0..10 {
        match relay.step(1, Duration::ZERO).await {
            Ok(_) => {}
            Err(RelayError::Fenced { .. }) => return true,
            Err(error) => panic!("{error}"),
        }
    }
    false
}

#[test]
fn f_15_two_relays_that_both_believe_to_lead_do_no_harm() {
    simulate(15, async {
        let mut bench = Bench::begin().await;
        bench.carrier.set_faults(Faults { fences: false, ..Faults::NONE });
        let mut relays = Relays::default();
        relays.lead(&bench.life, &bench.carrier, 1);
        relays.lead(&bench.life, &bench.carrier, 2);
        let _consumer = bench.consume();
        for _ in 0..10 {
            bench.announce(4).await;
            sleep(Duration::from_millis(100)).await;
        }
        bench.caught_up(Duration::from_secs(60)).await;
        sleep(Duration::from_secs(20)).await;
        bench.look().await;
        let stored = bench.carrier.counted().stored;
        assert!(stored > 40, "both have published: {stored}");
    });
}

#[test]
fn f_57_a_carrier_that_drips_is_left_within_1200_ms_until_it_leads() {
    simulate(57, async {
        let mut bench = Bench::begin().await;
        bench.relay();
        let consumer = bench.consume();
        bench.announce(8).await;
        bench.caught_up(Duration::from_secs(5)).await;
        assert_eq!(inputs(&consumer), [Input::Carrier; 2], "it followed the carrier");

        bench.carrier.set_faults(Faults { drip: Some(Duration::from_millis(700)), ..Faults::NONE });
        bench.announce(100).await;
        let took = bench.caught_up(Duration::from_secs(5)).await;
        assert!(took <= Duration::from_millis(1_300), "{took:?}");
        assert_eq!(inputs(&consumer), [Input::Log; 2]);
        for _ in 0..30 {
            bench.announce(4).await;
            let took = bench.caught_up(Duration::from_secs(5)).await;
            assert!(took <= Duration::from_millis(100), "at the log's latency, not {took:?}");
            assert_eq!(inputs(&consumer), [Input::Log; 2], "the carrier trails");
            sleep(Duration::from_secs(1)).await;
        }

        bench.carrier.set_faults(Faults::NONE);
        for _ in 0..30 {
            bench.announce(4).await;
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(inputs(&consumer), [Input::Carrier; 2], "the carrier leads again");
        bench.caught_up(Duration::from_secs(5)).await;
        bench.look().await;
    });
}

#[test]
fn f_57_a_bad_hint_that_repeats_everything_delays_nothing() {
    simulate(58, async {
        let mut bench = Bench::begin().await;
        bench.relay();
        {
            let _consumer = bench.consume();
            bench.announce(8).await;
            bench.caught_up(Duration::from_secs(5)).await;
        }
        // Ten thousand copies before whatever comes next, at one a millisecond: ten seconds.
        for lane in lanes() {
            let records = bench.life.records(lane).await;
            for _ in 0..10_000 / records.len() / 2 {
                let _ = divisi_events::Carrier::publish(
                    &bench.carrier,
                    &SOURCE.into(),
                    TOPIC,
                    lane,
                    &records,
                    None,
                )
                .await;
            }
        }
        bench.carrier.set_faults(Faults { drip: Some(Duration::from_millis(1)), ..Faults::NONE });
        let _consumer = bench.consume();
        bench.announce(8).await;
        let took = bench.caught_up(Duration::from_secs(5)).await;
        assert!(took <= Duration::from_millis(1_400), "{took:?}");
        bench.look().await;
    });
}

#[test]
fn f_57_a_carrier_that_flaps_is_left_for_longer_each_time() {
    simulate(59, async {
        let mut bench = Bench::begin().await;
        bench.relay();
        let consumer = bench.consume();
        bench.carrier.set_faults(Faults { flap: Some(Duration::from_secs(2)), ..Faults::NONE });
        for _ in 0..300 {
            bench.announce(4).await;
            let took = bench.caught_up(Duration::from_secs(5)).await;
            assert!(took <= Duration::from_millis(1_400), "{took:?}");
            sleep(Duration::from_secs(1)).await;
        }
        let falls = consumer.falls();
        assert!((2..=16).contains(&falls), "two lanes in five minutes: {falls} falls");
        bench.look().await;
    });
}

#[test]
fn f_57_a_stream_of_another_id_voids_what_was_known_of_the_last() {
    simulate(60, async {
        let mut bench = Bench::begin().await;
        bench.relay();
        {
            let _consumer = bench.consume();
            bench.announce(40).await;
            bench.caught_up(Duration::from_secs(5)).await;
        }
        bench.carrier.recreate();
        let _consumer = bench.consume();
        bench.announce(40).await;
        let took = bench.caught_up(Duration::from_secs(5)).await;
        assert!(took <= Duration::from_millis(1_400), "{took:?}");
        bench.look().await;
        let first = bench.held(lane(&KEYS[0])).first().copied();
        assert!(first.is_none_or(|first| first > 1), "the new stream has only what is new: {first:?}");
    });
}

#[test]
fn a_reader_that_never_reaches_its_source_goes_by_the_beacons_of_its_carrier() {
    simulate(63, async {
        let mut bench = Bench::begin().await;
        bench.reached.change(|reached| reached.today = None);
        let consumer = bench.consume();
        let lease = Arc::new(Granted::new(bench.life.store.clone()));
        let carrier = Arc::new(bench.carrier.clone());
        let all = (0..LANES).map(Lane);
        let relay = Relay::new(bench.life.store.clone(), TOPIC, all, bench.life.feed(), carrier, lease);
        bench.relay = Some(tokio::spawn(relay.run(std::future::pending())));
        bench.announce(40).await;
        bench.caught_up(Duration::from_secs(60)).await;
        assert_eq!(inputs(&consumer), [Input::Carrier; 2], "there was no other way");
        bench.look().await;
    });
}

#[test]
fn a_relay_that_starts_again_goes_on_behind_what_the_carrier_holds() {
    simulate(61, async {
        let mut bench = Bench::begin().await;
        bench.announce(20).await;
        for _ in 0..3 {
            let (_, lease) = Believes::two();
            let mut relay = bench.relay_with(lease);
            assert!(relay.start().await.expect("it starts").is_empty());
            while relay.step(2, Duration::ZERO).await.expect("it publishes").published > 0 {}
        }
        let [(a, Pos(ends_a)), (b, Pos(ends_b))] = bench.life.heads().await;
        assert!(bench.held(a).into_iter().eq(1..=ends_a), "{:?}", bench.held(a));
        assert!(bench.held(b).into_iter().eq(1..=ends_b), "{:?}", bench.held(b));
    });
}

#[test]
fn a_carrier_that_holds_more_than_the_log_is_named_when_a_relay_starts() {
    simulate(62, async {
        let mut bench = Bench::begin().await;
        let copy = bench.life.copy(&mut bench._disk);
        bench.announce(20).await;
        let (_, lease) = Believes::two();
        let mut relay = bench.relay_with(lease);
        relay.start().await.expect("it starts");
        while relay.step(2, Duration::ZERO).await.expect("it publishes").published > 0 {}

        bench.life = Life::begin(&mut bench._disk, 1, &copy, 0).await;
        let (_, lease) = Believes::two();
        let ahead = bench.relay_with(lease).start().await.expect("it starts");
        assert_eq!(ahead.len(), 2, "{ahead:?}");
        assert!(ahead.iter().all(|ahead| ahead.log == Pos(0) && ahead.carrier > Pos(0)), "{ahead:?}");
    });
}
