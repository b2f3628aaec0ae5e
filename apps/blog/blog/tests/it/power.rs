//! A power cut loses what was written and not synced. A kill alone cannot show that: the system still has it.
//!
//! A shim that is preloaded keeps a shadow of the databases with only what was synced. After a kill the files are
//! replaced by it, and the blog is started again.

mod shim;

use std::path::Path;
use std::time::{Duration, Instant};

use divisi_testkit::eventually;
use divisi_testkit::process::{Process, Start};

use crate::blog::Writer;
use crate::crash::fleet::free_address;
use crate::crash::load::{Load, Written};
use crate::crash::needs_failpoints;
use crate::crash::random::all_gone;
use crate::crash::truth::{broken, settles};
use shim::{Cut, Shim};

/// Writes before a cut: many syncs of every write-ahead log.
const WRITES: usize = 60;
/// This cut and the one after it come when a write-ahead log is being brought into its file, or has just been.
const CHECKPOINT: u64 = 2;
/// How long writers need for that.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(60);
const CUTS: u64 = 4;

#[test]
fn what_was_acknowledged_survives_power_cuts_in_one_process() {
    survives(&[]);
}

#[test]
fn what_was_acknowledged_survives_power_cuts_with_a_process_a_service() {
    survives(&["--split"]);
}

fn survives(arguments: &[&str]) {
    let shim = Shim::compiled();
    let data = tempfile::tempdir().expect("a directory");
    let address = free_address();
    let start = arguments.iter().fold(
        shim.preloaded(Start::new(env!("CARGO_BIN_EXE_blog"), data.path()).listening(address)),
        |start, argument| start.with(*argument),
    );
    let mut written = Written::default();
    for n in 0..CUTS {
        let (mut process, _) = start.start();
        let before = shim.synced("comments.db");
        let load = Load::start(address, &format!("cut-{n}"), 4);
        load.goes_on(WRITES);
        if n == CHECKPOINT {
            let now = || shim.synced("comments.db") == before;
            eventually("a checkpoint of comments.db", CHECKPOINT_WITHIN, now, |same| !same);
        }
        kill(&mut process);
        // Half of the cuts lose everything that was not synced, the others any blocks of it.
        let cut = if n % 2 == 0 { Cut::Everything } else { Cut::Some(n) };
        shim.cut(data.path(), cut);
        let (mut process, _) = start.start();
        // The writers have gone on asking: what they were promised before is part of it.
        load.goes_on(WRITES / 4);
        written.add(load.end());
        settles(address, &written);
        if n + 1 == CUTS {
            let (status, output) = process.stop();
            assert!(status.success(), "{status}\n{output}");
        } else {
            kill(&mut process);
            shim.cut(data.path(), Cut::Everything);
        }
    }
    assert_eq!(broken(data.path(), &written), Vec::<String>::new());
}

/// The control: without its sync a commit is not durable, and the same cut shows it.
#[test]
fn without_syncs_acknowledged_writes_are_lost() {
    needs_failpoints();
    for kept in ["synchronous.off=error", "synchronous.normal=error"] {
        let shim = Shim::compiled();
        let data = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let start = shim.preloaded(Start::new(env!("CARGO_BIN_EXE_blog"), data.path()).listening(address));
        let (mut process, _) = start.clone().variable("DIVISI_FAIL", kept).start();
        let load = Load::start(address, "unsynced", 2);
        load.goes_on(WRITES);
        let written = load.end();
        settles(address, &written);
        process.kill();
        let found = |data: &Path| broken(data, &written);
        assert_eq!(found(data.path()), Vec::<String>::new(), "{kept}: the kill alone loses nothing");
        shim.cut(data.path(), Cut::Everything);
        let (process, _) = start.start();
        let (status, output) = process.stop();
        assert!(status.success(), "{kept}: {status}\n{output}");
        let found = found(data.path());
        assert!(
            found.iter().any(|line| line.starts_with("posts:") && line.contains("lost")),
            "{kept}: {found:?}"
        );
    }
}

/// The promise behind it, and what the shim is good for in measurements: nobody is answered before the sync.
#[test]
fn an_answer_waits_for_its_sync() {
    const SYNC: Duration = Duration::from_millis(60);
    let shim = Shim::compiled();
    let data = tempfile::tempdir().expect("a directory");
    let start = shim.preloaded(Start::new(env!("CARGO_BIN_EXE_blog"), data.path()));
    let (process, address) = start.variable("POWER_SYNC_US", SYNC.as_micros().to_string()).start();
    let mut writer = Writer::new(address);
    for n in 0..3 {
        let before = Instant::now();
        writer.post("a post", &format!("k{n}"));
        let took = before.elapsed();
        assert!(took >= SYNC, "answered after {took:?}");
    }
    let (status, output) = process.stop();
    assert!(status.success(), "{status}\n{output}");
}

/// Everything at once: the supervisor's processes end with it.
fn kill(process: &mut Process) {
    let children = process.children();
    process.kill();
    all_gone(&children);
}
