use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_contract::event::LANES;
use divisi_store::epoch::Fork;
use divisi_store::outbox::{Page, RECORDS_IN_TURN};
use divisi_store::{Committed, Epoch, Epochs, Lane, Pos, Record, Timestamp};
use fastrand::Rng;
use tokio::time::{Instant, advance};

use super::{HOLE_MAX, Look, Tail, TailLimits, TooManyWaiting, TopicTail, WAITING_MAX, Waiting};

const TOPIC: &str = "posts";
const SEEDS: u64 = 300;
const STEPS: usize = 250;

fn record(lane: Lane, pos: Pos, n_bytes: usize) -> Arc<Record> {
    Arc::new(Record {
        source: ServiceName::from("posts"),
        topic: TOPIC.into(),
        lane,
        epoch: Epoch(1),
        pos,
        kind: "Posted".into(),
        schema_v: 1,
        key: "".into(),
        headers: "".into(),
        payload: vec![0; n_bytes].into(),
        at: Timestamp(0),
    })
}

/// A plain log beside the tail: everything that was ever committed, and what the tail should still have of it.
struct Model {
    rng: Rng,
    tail: Tail,
    limits: TailLimits,
    log: BTreeMap<Lane, Vec<Arc<Record>>>,
    /// What the tail should have, in the order of arrival.
    kept: Vec<Arc<Record>>,
    /// What the tail should know of the ends; none for a lane of which it heard nothing.
    heads: BTreeMap<Lane, Pos>,
    epochs: Option<Epochs>,
    current: Epochs,
    n_covered: usize,
    n_behind: usize,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut rng = Rng::with_seed(seed);
        let limits =
            TailLimits { records: rng.usize(1..60), bytes: rng.usize(200..20_000), hole: Duration::ZERO };
        Model {
            tail: Tail::new(&[TOPIC], limits),
            rng,
            limits,
            log: BTreeMap::new(),
            kept: Vec::new(),
            heads: BTreeMap::new(),
            epochs: None,
            current: Epochs { known: vec![Epoch(1)], forks: Vec::new() },
            n_covered: 0,
            n_behind: 0,
        }
    }

    fn topic(&self) -> Arc<TopicTail> {
        Arc::clone(self.tail.topic(TOPIC).expect("the topic has a tail"))
    }

    fn lane(&mut self) -> Lane {
        if self.rng.u8(..) < 200 { Lane(self.rng.u16(0..5)) } else { Lane(self.rng.u16(0..LANES)) }
    }

    fn head(&self, lane: Lane) -> Pos {
        self.log.get(&lane).map_or(Pos(0), |records| Pos(records.len() as i64))
    }

    fn write(&mut self) -> Arc<Record> {
        let lane = self.lane();
        let new = record(lane, self.head(lane).next(), self.rng.usize(0..600));
        self.log.entry(lane).or_default().push(Arc::clone(&new));
        new
    }

    fn commit(&mut self) {
        // Another instance of the service may have written what this one's tail is never told of.
        for _ in 0..if self.rng.u8(..) < 25 { self.rng.usize(1..3) } else { 0 } {
            self.write();
        }
        let records: Vec<_> = (0..self.rng.usize(1..20)).map(|_| self.write()).collect();
        self.tail.committed(&records);
        for record in records {
            let last = self.kept.iter().rev().find(|kept| kept.lane == record.lane);
            if last.is_some_and(|last| last.pos.next() != record.pos) {
                self.kept.retain(|kept| kept.lane != record.lane);
            }
            self.heads.insert(record.lane, record.pos);
            self.kept.push(record);
            while self.kept.len() > 1
                && (self.kept.len() > self.limits.records || self.n_bytes() > self.limits.bytes)
            {
                self.kept.remove(0);
            }
        }
    }

    fn n_bytes(&self) -> usize {
        self.kept.iter().map(|record| record.size()).sum()
    }

    fn forget(&mut self) {
        self.tail.forget();
        let next = Epoch(self.current.current().0 + 1);
        self.current.known.push(next);
        let forks = self.log.iter().map(|(lane, records)| Fork {
            lane: *lane,
            epoch: next,
            fork: Pos(records.len() as i64),
        });
        self.current.forks.extend(forks);
        self.kept.clear();
        self.heads.clear();
        self.epochs = None;
    }

    fn snapshot(&self) -> Page {
        let heads = (0..LANES).map(|lane| (Lane(lane), self.head(Lane(lane)))).collect();
        Page { heads, epochs: self.current.clone(), ..Page::default() }
    }

    /// Asks the database, while commits and an epoch may slip in between the question and the answer.
    fn learn(&mut self) {
        let topic = self.topic();
        let life = topic.life();
        let page = self.snapshot();
        if self.rng.bool() {
            self.commit();
        }
        let forgotten = self.rng.u8(..) < 60;
        if forgotten {
            self.forget();
        }
        topic.learn(life, &page);
        if !forgotten {
            for (lane, head) in page.heads {
                let known = self.heads.entry(lane).or_default();
                *known = head.max(*known);
            }
            self.epochs = Some(page.epochs);
        }
    }

    fn fetch(&mut self) {
        let mut wanted: Vec<(Lane, Pos)> = Vec::new();
        for _ in 0..self.rng.usize(0..6) {
            let lane = self.lane();
            if wanted.iter().all(|(other, _)| *other != lane) {
                let back = if self.rng.bool() { self.rng.i64(0..10) } else { self.rng.i64(0..80) };
                // A page may have brought more than the tail has been told of.
                wanted.push((lane, Pos((self.head(lane).0 + 1 - back).max(0))));
            }
        }
        let max_records = self.rng.usize(0..40);
        let max_bytes = self.rng.usize(1..6_000);
        let look = self.topic().look(&wanted, max_records, max_bytes);
        let Some(epochs) = &self.epochs else {
            assert!(matches!(look, Look::Unknown), "without a list of epochs there is no answer: {look:?}");
            return;
        };
        let in_memory = |(lane, after): &(Lane, Pos)| {
            *after >= self.heads[lane]
                || (self.kept.iter().any(|kept| kept.lane == *lane && kept.pos == after.next()))
        };
        if max_records > 0 && !wanted.iter().all(in_memory) {
            assert!(matches!(look, Look::Behind), "something is not in memory: {look:?}");
            self.n_behind += 1;
            return;
        }
        let Look::Covered(page, None) = look else { panic!("all of it is in memory: {look:?}") };
        self.n_covered += 1;
        assert_eq!(page.records, self.page(&wanted, max_records, max_bytes), "what a page would bring");
        assert_eq!(
            page.heads,
            wanted.iter().map(|(lane, _)| (*lane, self.heads[lane])).collect::<Vec<_>>(),
            "the ends of the wanted lanes, in order"
        );
        assert_eq!(page.epochs.known, epochs.known);
        assert!(
            page.epochs.forks.iter().all(|fork| wanted.iter().any(|(lane, _)| *lane == fork.lane)),
            "forks of wanted lanes alone"
        );
        let of_wanted = |fork: &&Fork| wanted.iter().any(|(lane, _)| *lane == fork.lane);
        assert_eq!(page.epochs.forks.len(), epochs.forks.iter().filter(of_wanted).count(), "and all of them");
    }

    /// What a page of the database would bring, if it ended where the tail does.
    fn page(&self, wanted: &[(Lane, Pos)], max_records: usize, max_bytes: usize) -> Vec<Arc<Record>> {
        let mut records: Vec<Arc<Record>> = Vec::new();
        let mut bytes = 0;
        let mut at: BTreeMap<Lane, Pos> = wanted.iter().copied().collect();
        loop {
            let before = records.len();
            for (lane, _) in wanted {
                for _ in 0..RECORDS_IN_TURN {
                    let after = at[lane];
                    if after >= self.heads[lane] {
                        break;
                    }
                    let next = &self.log[lane][usize::try_from(after.0).expect("a position")];
                    let full = records.len() >= max_records || (bytes > 0 && bytes + next.size() > max_bytes);
                    if full {
                        return records;
                    }
                    bytes += next.size();
                    at.insert(*lane, next.pos);
                    records.push(Arc::clone(next));
                }
            }
            if records.len() == before {
                return records;
            }
        }
    }
}

#[test]
fn it_says_what_a_plain_log_says_whatever_happens() {
    let (mut n_covered, mut n_behind) = (0, 0);
    for seed in 0..SEEDS {
        let mut model = Model::new(seed);
        model.learn();
        for _ in 0..STEPS {
            match model.rng.u8(..) {
                0..=2 => model.forget(),
                3..=20 => model.learn(),
                21..=110 => model.commit(),
                _ => model.fetch(),
            }
            let (n_records, n_bytes) = model.topic().kept();
            assert_eq!((n_records, n_bytes), (model.kept.len(), model.n_bytes()), "seed {seed}");
            assert!(n_records <= model.limits.records, "seed {seed}");
            assert!(n_bytes <= model.limits.bytes || n_records == 1, "seed {seed}");
        }
        n_covered += model.n_covered;
        n_behind += model.n_behind;
    }
    assert!(n_covered > 1_000 && n_behind > 1_000, "both ways were taken: {n_covered}, {n_behind}");
}

/// The lanes of a fetch, its registration, and how often it was woken.
type Registered = (Vec<(Lane, Pos)>, Waiting, Arc<Woken>);

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(waiting: &mut Waiting, woken: &Arc<Woken>) -> bool {
    let waker = Waker::from(Arc::clone(woken));
    pin!(waiting.woken()).as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
}

fn tail() -> (Tail, Arc<TopicTail>) {
    let tail = Tail::new(&[TOPIC], TailLimits::default());
    let topic = Arc::clone(tail.topic(TOPIC).expect("the topic has a tail"));
    (tail, topic)
}

#[test]
fn a_commit_wakes_exactly_those_who_want_its_lanes() {
    for seed in 0..SEEDS {
        let mut rng = Rng::with_seed(seed);
        let (tail, topic) = tail();
        let mut ends = [0; LANES as usize];
        let mut fetches: Vec<Registered> = Vec::new();
        for _ in 0..rng.usize(1..80) {
            let wanted: Vec<_> =
                (0..LANES).filter(|_| rng.u8(..) < 30).map(|lane| (Lane(lane), Pos(0))).collect();
            let waiting = topic.register(&wanted).expect("there is room");
            fetches.push((wanted, waiting, Arc::default()));
        }
        for (_, waiting, woken) in &mut fetches {
            assert!(!poll(waiting, woken), "nothing has grown yet, seed {seed}");
        }
        let records: Vec<_> = (0..rng.usize(1..6))
            .map(|_| {
                let lane = rng.u16(0..LANES);
                ends[usize::from(lane)] += 1;
                record(Lane(lane), Pos(ends[usize::from(lane)]), 10)
            })
            .collect();
        tail.committed(&records);
        for (wanted, waiting, woken) in &mut fetches {
            let grown = wanted.iter().any(|(lane, _)| records.iter().any(|record| record.lane == *lane));
            assert_eq!(
                woken.0.load(Ordering::Relaxed),
                usize::from(grown),
                "once, or not at all, seed {seed}"
            );
            assert_eq!(poll(waiting, woken), grown, "seed {seed}");
            assert!(!poll(waiting, woken), "a wake-up is taken once, seed {seed}");
        }
        tail.forget();
        for (wanted, waiting, woken) in &mut fetches {
            assert_eq!(poll(waiting, woken), !wanted.is_empty(), "forgetting wakes all, seed {seed}");
        }
    }
}

#[test]
fn a_wake_up_between_registering_and_waiting_is_not_lost() {
    let (tail, topic) = tail();
    let mut waiting = topic.register(&[(Lane(3), Pos(0))]).expect("there is room");
    tail.committed(&[record(Lane(3), Pos(1), 10)]);
    assert!(poll(&mut waiting, &Arc::default()));
}

#[test]
fn a_fetch_that_is_dropped_leaves_nothing_behind() {
    let (_tail, topic) = tail();
    let mut waiting = topic.register(&[(Lane(3), Pos(0))]).expect("there is room");
    let woken = Arc::new(Woken::default());
    assert!(!poll(&mut waiting, &woken));
    assert_eq!(topic.n_waiting(), 1);
    drop(waiting);
    assert_eq!(topic.n_waiting(), 0);
    assert_eq!(Arc::strong_count(&woken), 1, "its waker is gone too");
}

#[test]
fn the_limit_on_waiting_fetches_holds() {
    let (_tail, topic) = tail();
    let mut all: Vec<_> = (0..WAITING_MAX).map(|_| topic.register(&[]).expect("there is room")).collect();
    assert_eq!(topic.register(&[]).expect_err("there is no room"), TooManyWaiting);
    all.pop();
    assert!(topic.register(&[]).is_ok(), "one has left");
}

#[test]
fn closing_wakes_everybody() {
    let (tail, topic) = tail();
    let mut waiting = topic.register(&[(Lane(0), Pos(0))]).expect("there is room");
    assert!(!poll(&mut waiting, &Arc::default()));
    tail.close();
    assert!(poll(&mut waiting, &Arc::default()) && topic.is_closed());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_wrote_wakes_and_is_asked_of_the_database() {
    let (tail, topic) = tail();
    learned(&topic);
    let wanted = [(Lane(3), Pos(0))];
    let mut waiting = topic.register(&wanted).expect("there is room");
    tail.grew(TOPIC, &[(Lane(3), Pos(0)), (Lane(4), Pos(1))]);
    assert!(!poll(&mut waiting, &Arc::default()), "the lane that is wanted has not grown");
    tail.grew(TOPIC, &[(Lane(3), Pos(2))]);
    assert!(poll(&mut waiting, &Arc::default()));
    advance(HOLE_MAX).await;
    assert!(matches!(topic.look(&wanted, 10, 10_000), Look::Behind));
    tail.grew(TOPIC, &[(Lane(3), Pos(2))]);
    assert!(!poll(&mut waiting, &Arc::default()), "once");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_wrote_is_waited_for_a_moment_first() {
    let (tail, topic) = tail();
    learned(&topic);
    tail.grew(TOPIC, &[(Lane(3), Pos(2))]);
    let Look::Covered(page, Some(by)) = topic.look(&[(Lane(3), Pos(0))], 10, 10_000) else {
        panic!("it may be told any moment")
    };
    assert!(page.records.is_empty() && page.heads == [(Lane(3), Pos(2))]);
    advance(by - Instant::now()).await;
    assert!(matches!(topic.look(&[(Lane(3), Pos(0))], 10, 10_000), Look::Behind));
    // Another lane is not held up by what is told of this one.
    tail.committed(&[record(Lane(4), Pos(1), 10)]);
    assert_eq!(covered(&topic, Lane(4), 0), Some(vec![1]));
}

#[test]
fn records_told_in_any_order_are_one_run() {
    for seed in 0..SEEDS {
        let mut rng = Rng::with_seed(seed);
        let (tail, topic) = patient();
        learned(&topic);
        let mut told: Vec<i64> = (1..=20).collect();
        rng.shuffle(&mut told);
        let mut waiting = topic.register(&[(Lane(3), Pos(0))]).expect("there is room");
        for (n, pos) in told.iter().enumerate() {
            tail.committed(&[record(Lane(3), Pos(*pos), 10)]);
            assert!(poll(&mut waiting, &Arc::default()), "who waits looks, seed {seed}");
            let end = (1..).take_while(|pos| told[..=n].contains(pos)).last().unwrap_or(0);
            let run: Vec<i64> = (1..=end).collect();
            let found = covered(&topic, Lane(3), 0);
            assert_eq!(found.unwrap_or_default(), run[..run.len().min(10)], "seed {seed}");
            assert_eq!(
                topic.kept(),
                (run.len(), run.iter().map(|pos| record(Lane(3), Pos(*pos), 10).size()).sum())
            );
        }
    }
}

#[test]
fn a_hole_that_nobody_fills_is_left_behind() {
    let (tail, topic) = patient();
    learned(&topic);
    tail.committed(&[record(Lane(3), Pos(1), 10)]);
    // The second one is somebody else's. Only so many wait for it, whatever the time.
    (3..200).for_each(|pos| tail.committed(&[record(Lane(3), Pos(pos), 10)]));
    assert_eq!(covered(&topic, Lane(3), 190), Some((191..200).collect()));
    assert!(matches!(topic.look(&[(Lane(3), Pos(1))], 10, 10_000), Look::Behind));
    let (n_records, n_bytes) = topic.kept();
    assert_eq!(n_bytes, n_records * record(Lane(3), Pos(1), 10).size(), "nothing is counted that is gone");
}

#[test]
fn a_record_told_late_does_not_cut_what_came_before_it() {
    let (tail, topic) = patient();
    learned(&topic);
    tail.committed(&[record(Lane(3), Pos(2), 10), record(Lane(3), Pos(3), 10)]);
    let mut waiting = topic.register(&[(Lane(3), Pos(0))]).expect("there is room");
    assert_eq!(covered(&topic, Lane(3), 0), Some(vec![]), "the first should come any moment");
    tail.committed(&[record(Lane(3), Pos(1), 10)]);
    assert!(poll(&mut waiting, &Arc::default()), "who waits for it hears of it");
    assert_eq!(covered(&topic, Lane(3), 0), Some(vec![1, 2, 3]));
    tail.committed(&[record(Lane(3), Pos(1), 10)]);
    assert_eq!(topic.kept().0, 3, "once");
}

/// Early records are in the limits: large ones do not wait.
#[test]
fn large_records_do_not_wait_for_a_hole() {
    let (tail, topic) = patient();
    learned(&topic);
    tail.committed(&[record(Lane(3), Pos(1), 10)]);
    (3..6).for_each(|pos| tail.committed(&[record(Lane(3), Pos(pos), 100 * 1024)]));
    assert_eq!(covered(&topic, Lane(3), 3), Some(vec![4]), "one at a time, as bytes allow");
    assert!(matches!(topic.look(&[(Lane(3), Pos(1))], 10, 10_000), Look::Behind));
}

/// One that never gives up a hole because of the time.
fn patient() -> (Tail, Arc<TopicTail>) {
    let hole = Duration::from_secs(600);
    let tail = Tail::new(&[TOPIC], TailLimits { hole, ..TailLimits::default() });
    let topic = Arc::clone(tail.topic(TOPIC).expect("the topic has a tail"));
    (tail, topic)
}

/// It knows that the lanes are empty.
fn learned(topic: &TopicTail) {
    let heads = (0..LANES).map(|lane| (Lane(lane), Pos(0))).collect();
    topic.learn(topic.life(), &Page { heads, ..Page::default() });
}

/// The positions that are in memory after one.
fn covered(topic: &TopicTail, lane: Lane, after: i64) -> Option<Vec<i64>> {
    match topic.look(&[(lane, Pos(after))], 10, 10_000) {
        Look::Covered(page, _) => Some(page.records.iter().map(|record| record.pos.0).collect()),
        Look::Behind | Look::Unknown => None,
    }
}
