//! Ctrl-C ends everything, whatever is going on; and nothing of the blog outlives its supervisor.

use std::time::{Duration, Instant};

use divisi_testkit::Http;
use divisi_testkit::process::Start;

use crate::blog::{Blog, SET_UPS, SetUp};
use crate::crash::fleet::free_address;
use crate::crash::load::Load;
use crate::crash::random::all_gone;
use crate::crash::truth::{broken, settles};

/// How long a clean end may take.
const END: Duration = Duration::from_secs(2);

/// A consumer's question is always waiting somewhere, and a browser keeps its connection.
#[test]
fn ctrl_c_ends_a_quiet_blog_at_once_though_connections_are_open() {
    for set_up in SET_UPS {
        let data = tempfile::tempdir().expect("a directory");
        let blog = Blog::start(set_up, data.path());
        let load = Load::start(blog.address, "quiet", 1);
        load.goes_on(5);
        settles(blog.address, &load.end());
        let mut kept = Http::new(blog.address);
        assert_eq!(kept.get("/posts").expect("an answer").status, 200);
        let output = ended_in_time(set_up, blog);
        assert!(!output.contains("ERROR"), "{set_up:?}: {output}");
        // Whoever starts first does not find the others yet, and whoever ends last sees them go: both are as they should.
        assert!(!output.contains("WARN"), "{set_up:?}: {output}");
        assert!(kept.get("/posts").is_err(), "{set_up:?}");
    }
}

/// Whoever was answered is right, whoever was not may ask again; and a second start goes on where the first was.
#[test]
fn ctrl_c_under_load_ends_in_time_and_the_next_start_goes_on() {
    for set_up in SET_UPS {
        let data = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let blog = Blog::start_with(set_up, data.path(), |start| start.listening(address));
        let load = Load::start(address, "ending", 4);
        load.goes_on(40);
        ended_in_time(set_up, blog);
        let blog = Blog::start_with(set_up, data.path(), |start| start.listening(address));
        load.goes_on(20);
        let written = load.end();
        settles(address, &written);
        blog.stop();
        assert_eq!(broken(data.path(), &written), Vec::<String>::new(), "{set_up:?}");
    }
}

#[test]
fn services_end_with_a_supervisor_that_is_killed() {
    let data = tempfile::tempdir().expect("a directory");
    let start = Start::new(env!("CARGO_BIN_EXE_blog"), data.path()).with("--split");
    let (mut supervisor, _) = start.start();
    let children = supervisor.children();
    assert_eq!(children.len(), 5, "four services and the gateway");
    supervisor.kill();
    all_gone(&children);
    let (supervisor, _) = start.start();
    assert!(supervisor.stop().0.success());
}

fn ended_in_time(set_up: SetUp, blog: Blog) -> String {
    let began = Instant::now();
    let output = blog.stop();
    let took = began.elapsed();
    assert!(took < END, "{set_up:?} took {took:?}:\n{output}");
    output
}
