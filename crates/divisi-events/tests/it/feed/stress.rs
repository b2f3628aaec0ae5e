//! Writers, readers and forgetting at the same time: memory and database say the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use divisi_contract::event::LANES;
use divisi_events::LogOptions;
use divisi_events::tail::TailLimits;
use divisi_store::outbox::{Page, PageWanted};
use divisi_store::{Committed, Epoch, Lane, Pos, Record};

use super::fixture::{Fixture, Posted, want};

const WRITERS: u64 = 8;
const TRANSACTIONS: u64 = 60;
const READERS: u64 = 6;
const ROUNDS: usize = 3_000;

type Places = BTreeMap<(Lane, Pos), Arc<Record>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_and_database_say_the_same_while_everybody_writes() {
    for seed in [1, 2, 3] {
        let limits = TailLimits { records: 40 * seed as usize, bytes: 1 << 20, ..TailLimits::default() };
        let fixture = Arc::new(Fixture::new(LogOptions { tail: limits }).await);
        let epoch = fixture.epoch().await;
        let written = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| tokio::spawn(write(Arc::clone(&fixture), Arc::clone(&written), seed * 100 + n)))
            .collect();
        let readers: Vec<_> =
            (0..READERS).map(|n| tokio::spawn(read(Arc::clone(&fixture), epoch, seed * 1_000 + n))).collect();
        let mut rng = fastrand::Rng::with_seed(seed);
        while writers.iter().any(|writer| !writer.is_finished()) {
            tokio::time::sleep(Duration::from_millis(rng.u64(1..20))).await;
            fixture.log.tail().forget();
        }
        for writer in writers {
            writer.await.expect("a writer ends well");
        }
        let all = database(&fixture).await;
        assert_eq!(
            all.len(),
            written.load(Ordering::Relaxed),
            "everything acknowledged is there, seed {seed}"
        );
        for reader in readers {
            let read = tokio::time::timeout(Duration::from_secs(60), reader).await;
            let read = read.expect("a reader reaches the end").expect("a reader ends well");
            assert_eq!(read, all, "seed {seed}");
        }
        assert_eq!(fixture.log.tail().topic("posts").expect("it owns the topic").n_waiting(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_however_close_a_commit_comes() {
    let fixture = Arc::new(Fixture::new(LogOptions::default()).await);
    let epoch = fixture.epoch().await;
    let (go, mut told) = tokio::sync::mpsc::channel::<()>(1);
    let writer = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move {
            while told.recv().await.is_some() {
                fixture.post(&[1], 0).await;
            }
        }
    });
    let mut rng = fastrand::Rng::with_seed(5);
    let mut at = [Pos(0); LANES as usize];
    // About as long as a commit takes, so that the question comes sometimes before, sometimes after, sometimes amid.
    let mut commit = Duration::from_micros(200);
    for _ in 0..ROUNDS {
        go.send(()).await.expect("the writer listens");
        let began = Instant::now();
        let delay = commit.mul_f64(2.0 * rng.f64());
        while began.elapsed() < delay {
            std::hint::spin_loop();
        }
        let records = fixture.fetch(want(epoch, &at, 5_000)).await.records;
        assert_eq!(records.len(), 1, "the one that was written");
        assert!(began.elapsed() < Duration::from_millis(2_500), "it was slept over");
        if delay * 2 < commit {
            commit = (commit * 9 + began.elapsed()) / 10;
        }
        at[1] = records[0].pos;
    }
    drop(go);
    writer.await.expect("the writer ends well");
}

async fn write(fixture: Arc<Fixture>, written: Arc<AtomicUsize>, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for n in 0..TRANSACTIONS {
        let lanes: Vec<u16> = (0..rng.usize(1..10)).map(|_| rng.u16(0..LANES / 4)).collect();
        let positions = fixture.post(&lanes, n).await;
        written.fetch_add(positions.len(), Ordering::Relaxed);
        // Groups of one and of many.
        tokio::time::sleep(Duration::from_micros(rng.u64(0..2_000))).await;
    }
    // The last word of each writer, by which readers know that they are done.
    fixture.post(&[LANES - 1], u64::MAX).await;
    written.fetch_add(1, Ordering::Relaxed);
}

async fn read(fixture: Arc<Fixture>, epoch: Epoch, seed: u64) -> Places {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut at = [Pos(0); LANES as usize];
    let mut read = Places::new();
    let mut heads = at;
    loop {
        let mut want = want(epoch, &at, rng.u32(0..100));
        rng.shuffle(&mut want.lanes);
        want.max_records = rng.u32(1..100);
        let fetched = fixture.fetch(want).await;
        assert_eq!(fetched.epochs.current(), epoch);
        for record in fetched.records {
            let at = &mut at[usize::from(record.lane.0)];
            assert_eq!(record.pos, at.next(), "lane {} without a hole", record.lane);
            *at = record.pos;
            read.insert((record.lane, record.pos), record);
        }
        for (lane, head) in fetched.heads {
            let lane = usize::from(lane.0);
            assert!(head >= heads[lane] || head >= at[lane] || heads[lane] >= at[lane], "ends are real");
            heads[lane] = head.max(heads[lane]);
        }
        let last_words = at[usize::from(LANES - 1)].0;
        if last_words == WRITERS as i64 && at.iter().zip(&heads).all(|(at, head)| at >= head) {
            // Everybody was acknowledged before saying the last word, so what the ends say now is all there is.
            let ends = fixture.fetch(super::fixture::want(epoch, &at, 0)).await;
            if ends.records.is_empty() {
                return read;
            }
        }
    }
}

async fn database(fixture: &Fixture) -> Places {
    let mut at: Vec<(Lane, Pos)> = (0..LANES).map(|lane| (Lane(lane), Pos(0))).collect();
    let mut all = Places::new();
    loop {
        let wanted = PageWanted {
            topic: <Posted as divisi_contract::Event>::TOPIC.into(),
            lanes: at.clone(),
            max_records: 512,
            max_bytes: 1 << 20,
        };
        let page: Page = fixture.store.backend().page(wanted).await.expect("the store can be read");
        if page.records.is_empty() {
            return all;
        }
        for record in page.records {
            at[usize::from(record.lane.0)].1 = record.pos;
            all.insert((record.lane, record.pos), record);
        }
    }
}
