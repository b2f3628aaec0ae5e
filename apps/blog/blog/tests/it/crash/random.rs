//! Random processes are killed all the time, while people write.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use divisi_testkit::eventually;
use divisi_testkit::process::{Process, Start, send};
use rustix::process::Signal;

use crate::crash::fleet::free_address;
use crate::crash::load::Load;
use crate::crash::truth::{broken, settles};

/// Kills of services under their supervisor.
const KILLS: usize = 300;
/// So many of them at least must be told of by supervisors.
const KILLS_TOLD: usize = KILLS * 9 / 10;
/// One in so many is the supervisor's own, and everything's with it.
const SUPERVISOR_EVERY: usize = 60;
/// Kills of everything in one process.
const KILLS_WHOLE: usize = 30;
/// Writes that must be acknowledged between two kills: it is killed under load, and it goes on.
const WRITES_PER_KILL: usize = 6;
/// A process that dies younger is started again later and later. One kill in so many is one of a process of any age.
const YOUNG: Duration = Duration::from_secs(1);
const ANY_AGE_EVERY: usize = 4;
/// How long it may take until somebody runs.
const START: Duration = Duration::from_secs(20);
const WRITERS: usize = 6;
const SEED: u64 = 20;

#[test]
fn three_hundred_random_kills_lose_nothing_and_double_nothing() {
    let data = tempfile::tempdir().expect("a directory");
    let start = start(data.path()).with("--split");
    let (mut supervisor, address) = start.start();
    let load = Load::start(address, "random", WRITERS);
    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut n_killed, mut n_seen) = (0, 0);
    let mut ages = Ages::default();
    while n_killed < KILLS {
        if n_killed % SUPERVISOR_EVERY == SUPERVISOR_EVERY - 1 {
            let children = supervisor.children();
            n_seen += kills_seen(&supervisor) + 1;
            supervisor.kill();
            all_gone(&children);
            supervisor = start.start().0;
        } else {
            let age = if n_killed % ANY_AGE_EVERY == 0 { Duration::ZERO } else { YOUNG };
            let look = || ages.at_least(age, supervisor.children());
            let victims = eventually("somebody to kill", START, look, |victims| !victims.is_empty());
            if let Some(&pid) = random.choice(&victims) {
                ages.kill(pid);
            }
        }
        n_killed += 1;
        load.goes_on(WRITES_PER_KILL);
    }
    let written = load.end();
    settles(address, &written);
    n_seen += kills_seen(&supervisor);
    stopped(supervisor);
    assert_eq!(broken(data.path(), &written), Vec::<String>::new());
    // A supervisor tells of a kill after the restart, so the last words of one that is killed itself are missing.
    assert!(n_seen >= KILLS_TOLD, "supervisors tell of only {n_seen} of {n_killed} kills");
    println!("{n_killed} kills, {} posts, {} comments", written.posts.len(), written.n_comments());
}

#[test]
fn everything_in_one_process_may_be_killed_at_any_time() {
    for over_tcp in [false, true] {
        let data = tempfile::tempdir().expect("a directory");
        let start = start(data.path());
        let start = if over_tcp { start.with("--over-tcp") } else { start };
        let (mut blog, address) = start.start();
        let load = Load::start(address, "random", WRITERS);
        let mut random = fastrand::Rng::with_seed(SEED);
        for _ in 0..KILLS_WHOLE / 2 {
            // Somewhere in the work of some writes, start included.
            load.goes_on(random.usize(1..3 * WRITES_PER_KILL));
            blog.kill();
            blog = start.start().0;
        }
        load.goes_on(WRITES_PER_KILL);
        let written = load.end();
        settles(address, &written);
        stopped(blog);
        assert_eq!(broken(data.path(), &written), Vec::<String>::new());
    }
}

/// How many of its processes a supervisor has seen killed.
fn kills_seen(supervisor: &Process) -> usize {
    supervisor.output().matches("was killed by SIGKILL").count()
}

/// Since when processes have been seen to run; one that was killed, and that nobody has waited for yet, does not.
#[derive(Default)]
struct Ages(BTreeMap<u32, Option<Instant>>);

impl Ages {
    fn at_least(&mut self, age: Duration, running: Vec<u32>) -> Vec<u32> {
        self.0.retain(|pid, _| running.contains(pid));
        let mut since = |pid: &u32| *self.0.entry(*pid).or_insert_with(|| Some(Instant::now()));
        let is_old = |pid: &u32| since(pid).is_some_and(|since| since.elapsed() >= age);
        running.into_iter().filter(is_old).collect()
    }

    fn kill(&mut self, pid: u32) {
        self.0.insert(pid, None);
        send(pid, Signal::KILL);
    }
}

fn start(data: &Path) -> Start {
    Start::new(env!("CARGO_BIN_EXE_blog"), data).listening(free_address())
}

fn stopped(process: Process) {
    let (status, output) = process.stop();
    assert!(status.success(), "it ended with {status}:\n{output}");
}

/// Waits until processes are gone whose supervisor was killed. Nobody tells them to.
pub(crate) fn all_gone(pids: &[u32]) {
    let running = || -> BTreeSet<u32> {
        let is_running = |pid: &&u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // One that has ended and that nobody has waited for yet is gone.
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| !rest.is_empty() && !rest.trim().starts_with(['Z', 'X']))
        };
        pids.iter().filter(is_running).copied().collect()
    };
    eventually("the supervisor's processes are gone", Duration::from_secs(2), running, BTreeSet::is_empty);
}
