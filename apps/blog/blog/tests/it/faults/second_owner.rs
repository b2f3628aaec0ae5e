//! Two processes want one service's file: the second is refused in words, and the first goes on (F-52).

use divisi_testkit::process::Start;

use crate::crash::fleet::Fleet;
use crate::crash::load::Load;
use crate::crash::truth::{broken, settles};

#[test]
fn a_second_process_is_refused_the_file_of_a_service_and_told_whose_it_is() {
    let data = tempfile::tempdir().expect("a directory");
    let fleet = Fleet::started(data.path());
    let load = Load::start(fleet.address(), "owner", 3);
    for service in ["posts", "comments", "moderation", "query"] {
        load.goes_on(10);
        let nowhere = |start: Start, name: &str| {
            start.variable(&format!("DIVISI_SERVICES__{}__ADDRESS", name.to_uppercase()), "127.0.0.1:9")
        };
        let start = Start::new(env!("CARGO_BIN_EXE_blog"), data.path()).with(service);
        let start = ["posts", "comments", "moderation", "query"]
            .iter()
            .filter(|name| **name != service)
            .fold(start, |start, name| nowhere(start, name));
        let mut second = start.spawn();
        let status = second.ended();
        let output = second.all_output();
        assert_eq!(status.code(), Some(1), "{output}");
        let owner = format!("{service}.db is in use by process {}", fleet.pid(service));
        assert!(output.contains(&owner) && output.contains("stop it first"), "no {owner:?} in {output}");
    }
    load.goes_on(10);
    let written = load.end();
    settles(fleet.address(), &written);
    fleet.stop_all();
    assert_eq!(broken(data.path(), &written), Vec::<String>::new());
}
