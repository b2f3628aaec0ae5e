//! Whatever keeps the blog from starting is said in a sentence that names it, and the exit code is not 0.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use divisi_testkit::process::Start;

use crate::blog::{Blog, SetUp};
use crate::crash::controls::copy_files;

/// In one process, and as a process a service, where it is a process under the supervisor that finds out.
const BOTH: [&[&str]; 2] = [&[], &["--split"]];

#[test]
fn a_taken_port() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let data = tempfile::tempdir().expect("a directory");
    for arguments in BOTH {
        let start = start(data.path(), arguments).listening(address);
        refused(&start, &[&format!("cannot listen on {address} for HTTP"), "in use"]);
    }
    assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 0, "nothing was touched");
}

/// A super user may write everywhere, so the place is one that cannot be there: below a file.
#[test]
fn a_data_directory_that_cannot_be() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "a file").expect("a file");
    for arguments in BOTH {
        let below = file.join("below");
        refused(&start(&below, arguments), &["cannot open the database of `", &below.display().to_string()]);
        refused(&start(&file, arguments), &["cannot use", &file.display().to_string(), "not a directory"]);
    }
}

#[test]
fn a_data_directory_in_use_by_another_blog() {
    let data = tempfile::tempdir().expect("a directory");
    let first = Blog::start(SetUp::Whole, data.path());
    let pid = first.pid();
    for arguments in BOTH {
        let words = [".db is in use by process ", &pid.to_string(), "stop it first"];
        refused(&start(data.path(), arguments), &words);
    }
    let mut http = divisi_testkit::Http::new(first.address);
    assert_eq!(http.get("/posts").expect("an answer").status, 200, "the first one goes on");
    first.stop();
    Blog::start(SetUp::Whole, data.path()).stop();
}

#[test]
fn a_damaged_database() {
    let sound = sound_data();
    let whole = fs::read(sound.path().join("posts.db")).expect("a database");
    let noise: Vec<u8> = (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for damaged in [&noise[..], &whole[..5_000], b"no database"] {
        fs::write(sound.path().join("posts.db"), damaged).expect("a file");
        for arguments in BOTH {
            let start = start(sound.path(), arguments);
            refused(&start, &["cannot open the database of `posts`", "posts.db is damaged", "restore it"]);
        }
        let now = fs::read(sound.path().join("posts.db")).expect("the file");
        assert_eq!(now, damaged, "it is left for somebody who can mend it");
    }
}

#[test]
fn the_file_of_another_service() {
    let data = sound_data();
    fs::copy(data.path().join("posts.db"), data.path().join("comments.db")).expect("a copy");
    for arguments in BOTH {
        let words = ["comments.db belongs to the service `posts`, not to `comments`"];
        refused(&start(data.path(), arguments), &words);
    }
}

#[test]
fn a_setting_that_is_none() {
    let table = [
        ("lissten = \"127.0.0.1:1\"", "divisi.toml:1: unknown key `lissten`; did you mean `listen`?"),
        (
            "[store]\ntransaction_mss = 5",
            "divisi.toml:2: unknown key `store.transaction_mss`; did you mean `store.transaction_ms`?",
        ),
        ("listen = 5", "`listen` is the number 5, but must be an address and a port"),
        (
            "[store]\ntransaction_ms = \"long\"",
            "`store.transaction_ms` is the string \"long\", but must be a whole number",
        ),
        ("[services.post]\naddress = \"a:1\"", "there is no service `post`; did you mean `posts`?"),
        ("listen = ", "divisi.toml"),
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("divisi.toml");
    for (text, words) in table {
        fs::write(&file, text).expect("a file");
        for arguments in BOTH {
            let start = start(dir.path(), arguments).with("--config").with(file.display().to_string());
            refused(&start, &[words]);
        }
    }
    refused(
        &start(dir.path(), &[]).variable("DIVISI_LOG__FORMATT", "json"),
        &["DIVISI_LOG__FORMATT is not a setting; did you mean DIVISI_LOG__FORMAT?"],
    );
    refused(
        &start(dir.path(), &["--config", "nowhere.toml"]),
        &["cannot read the configuration file nowhere.toml"],
    );
}

#[test]
fn a_service_that_is_none_or_whose_neighbours_are_nowhere() {
    let dir = tempfile::tempdir().expect("a directory");
    refused(&start(dir.path(), &["postss"]), &["there is no service `postss`", "`posts`", "`gateway`"]);
    refused(
        &start(dir.path(), &["comments"]),
        &["is needed by `comments`", "services.", ".address` in divisi.toml", "DIVISI_SERVICES__"],
    );
    refused(&start(dir.path(), &["gateway"]), &["`posts` is needed by `gateway`"]);
}

fn start(data: &Path, arguments: &[&str]) -> Start {
    let start = Start::new(env!("CARGO_BIN_EXE_blog"), data);
    arguments.iter().fold(start, |start, argument| start.with(*argument))
}

/// It ends by itself with code 1, and its last sentence has all the words.
fn refused(start: &Start, words: &[&str]) {
    let mut process = start.spawn();
    let status = process.ended();
    let output = process.all_output();
    assert_eq!(status.code(), Some(1), "{words:?}: {status}\n{output}");
    let sentence = output.rsplit("error: ").next().unwrap_or_default();
    for words in words {
        assert!(sentence.contains(words), "no {words:?} in {output}");
    }
    for noise in ["panicked", "RUST_BACKTRACE", "starting it again"] {
        assert!(!sentence.contains(noise), "{noise:?} in {output}");
    }
}

/// The files of a blog that has run and stopped.
fn sound_data() -> tempfile::TempDir {
    let data = tempfile::tempdir().expect("a directory");
    Blog::start(SetUp::Whole, data.path()).stop();
    let copy = tempfile::tempdir().expect("a directory");
    copy_files(data.path(), copy.path());
    copy
}
