//! Callers who move money and never give up, and a reader who watches the balances.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use divisi_testkit::{Http, Reply, eventually};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::book::{Answer, Book, Entry, Told};

/// As the catalogue says.
pub(crate) const ACCOUNTS: u32 = 200;
const BALANCE: i64 = 1_000;
/// One transfer in so many is refused when all of it has been done.
const CALLED_OFF_EVERY: u32 = 10;

/// How long a caller asks before the test gives it up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long some more transfers may take, whatever is done to the bank, and how many each further second brings at the
/// least.
const PROGRESS: Duration = Duration::from_secs(90);
const PROGRESS_PER_SECOND: usize = 20;
/// How often the reader looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How fast callers are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As fast as they are answered.
    Free,
    /// All of them together so many transfers a second, so that waits are the bank's and not the queue's.
    PerSecond(u32),
}

/// Callers at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<Vec<Told>>>,
    reader: JoinHandle<Vec<String>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    stop_reading: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    /// Opens the accounts and starts `n_callers`. What they do comes from `seed`.
    pub(crate) fn start(address: SocketAddr, seed: u64, n_callers: usize, pace: Pace) -> Load {
        Load::start_as(address, "caller", seed, n_callers, pace)
    }

    /// The same with a name that makes their transfers their own.
    pub(crate) fn start_as(address: SocketAddr, name: &str, seed: u64, n_callers: usize, pace: Pace) -> Load {
        let opening = json!({ "accounts": ACCOUNTS, "balance": BALANCE });
        let opened =
            until_answered(&mut Http::new(address), |http| http.post("/accounts", &opening, Some("opening")));
        assert_eq!(opened.status, 201, "{:?}", opened.json());
        let shared = Arc::<Shared>::default();
        let pause = match pace {
            Pace::Free => Duration::ZERO,
            Pace::PerSecond(n) => Duration::from_secs(1) * u32::try_from(n_callers).unwrap_or(1) / n,
        };
        let caller = |n: usize| {
            let shared = Arc::clone(&shared);
            let random = Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(n as u64));
            let name = format!("{name}-{n}");
            std::thread::spawn(move || call(address, &name, random, pause, &shared))
        };
        let callers = (0..n_callers).map(caller).collect();
        let for_reader = Arc::clone(&shared);
        let reader = std::thread::spawn(move || watch(address, &for_reader));
        Load { shared, callers, reader }
    }

    /// Does `n` transfers between two accounts, one after the other.
    pub(crate) fn pairs(address: SocketAddr, name: &str, n: u32) -> Vec<Told> {
        let mut http = Http::new(address);
        let pair = |n: u32| {
            let (id, [from, to]) = (format!("{name}-{n}"), [n % ACCOUNTS, (n + 1) % ACCOUNTS]);
            let legs = json!([{ "account": from, "amount": -1 }, { "account": to, "amount": 1 }]);
            let body = json!({ "id": id, "legs": legs });
            let reply = until_answered(&mut http, |http| http.post("/transfers", &body, Some(&id)));
            assert_eq!(reply.status, 201, "{:?}", reply.json());
            Told { id, n_legs: 2, answer: Answer::Done(Entry::all(&reply.json())) }
        };
        (0..n).map(pair).collect()
    }

    /// How many transfers have been answered.
    pub(crate) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// Waits until `n` more have been answered.
    pub(crate) fn goes_on(&self, n: usize) {
        let wanted = self.answered() + n;
        // A caller that panicked would be waited for in vain: its panic comes out of `end`.
        let look = || (self.answered(), self.callers.iter().any(JoinHandle::is_finished));
        let within =
            PROGRESS + Duration::from_secs(1) * u32::try_from(n / PROGRESS_PER_SECOND).unwrap_or_default();
        eventually("more transfers", within, look, |(n, gave_up)| *n >= wanted || *gave_up);
    }

    /// Lets it go on for so long.
    pub(crate) fn goes_on_for(&self, time: Duration) {
        sleep(time);
    }

    /// Lets each caller get the answer that it waits for; the reader goes on until `settled` has come back.
    pub(crate) fn end(self, settled: impl FnOnce()) -> Book {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut book =
            Book { sum: i64::from(ACCOUNTS) * BALANCE, n_accounts: ACCOUNTS as usize, ..Book::default() };
        for caller in self.callers {
            book.add(caller.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        settled();
        self.shared.stop_reading.store(true, Ordering::SeqCst);
        book.went_back = self.reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        book
    }
}

fn call(address: SocketAddr, name: &str, mut random: Rng, pause: Duration, shared: &Shared) -> Vec<Told> {
    let mut http = Http::new(address);
    let mut told = Vec::new();
    let mut next = Instant::now() + pause.mul_f64(random.f64());
    while !shared.stop.load(Ordering::SeqCst) {
        sleep(next.saturating_duration_since(Instant::now()));
        // After a wait nobody makes up for lost time: that would be a burst, not a load.
        next = (next + pause).max(Instant::now());
        let id = format!("{name}-{}", told.len());
        let (legs, called_off) = draw(&mut random);
        let body = json!({ "id": id, "legs": legs, "called_off": called_off });
        let reply = until_answered(&mut http, |http| http.post("/transfers", &body, Some(&id)));
        shared.answered.fetch_add(1, Ordering::SeqCst);
        let answer = match (reply.status, called_off) {
            (201, false) => Answer::Done(Entry::all(&reply.json())),
            (409, _) => Answer::Refused,
            _ => panic!("{body} was answered with {} {:?}", reply.status, reply.json()),
        };
        told.push(Told { id, n_legs: legs.len(), answer });
    }
    told
}

/// Two or three accounts, whose amounts are nothing together.
fn draw(random: &mut Rng) -> (Vec<Value>, bool) {
    let n_legs = random.usize(2..=3);
    let mut accounts: Vec<u32> = Vec::new();
    while accounts.len() < n_legs {
        let account = random.u32(0..ACCOUNTS);
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    let mut left = 0;
    let mut legs = Vec::new();
    for (n, account) in accounts.iter().enumerate() {
        let amount = if n + 1 == n_legs { -left } else { random.i64(-50..=50) };
        left += amount;
        legs.push(json!({ "account": account, "amount": amount }));
    }
    (legs, random.u32(0..CALLED_OFF_EVERY) == 0)
}

/// Tries again what was not answered: a lost connection, or an answer that says "not now" or "not known".
fn until_answered(http: &mut Http, mut ask: impl FnMut(&mut Http) -> io::Result<Reply>) -> Reply {
    let began = Instant::now();
    loop {
        let outcome = ask(http);
        match outcome {
            Ok(reply) if reply.status < 500 && reply.status != 429 => return reply,
            outcome => assert!(began.elapsed() < PATIENCE, "no answer within {PATIENCE:?}: {outcome:?}"),
        }
        sleep(Duration::from_millis(20));
    }
}

/// Reads the read model all the time: no account may ever be seen at an earlier version than before.
fn watch(address: SocketAddr, shared: &Shared) -> Vec<String> {
    let mut http = Http::new(address);
    let mut seen: BTreeMap<i64, Entry> = BTreeMap::new();
    let mut went_back = Vec::new();
    let (mut n_read, began) = (0, Instant::now());
    while !shared.stop_reading.load(Ordering::SeqCst) {
        // Who cannot read now sees nothing.
        if let Ok(reply) = http.get("/balances")
            && reply.status == 200
        {
            n_read += 1;
            for entry in Entry::all(&reply.json()) {
                if let Some(before) = seen.insert(entry.account, entry)
                    && before.version > entry.version
                {
                    went_back.push(format!("{before:?} was seen before {entry:?}"));
                }
            }
        }
        sleep(LOOK_EVERY);
    }
    assert!(n_read > 0, "the read model was never read in {:?}", began.elapsed());
    went_back
}
