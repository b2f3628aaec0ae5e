//! On NATS: a stream a topic, and a user a service that publishes its own and reads what it hears.

mod wire;

use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use divisi_servers::Nats;
use divisi_servers::nats::Settings;
use divisi_testkit::eventually;

use crate::blog::{Blog, SetUp, Writer};
use crate::provision::carried::comments_come_through;
use crate::provision::users::{HEARD, Passwords};
use crate::provision::{blog, wait};
use crate::scenario::quiet;
use wire::{Act, Peer};

const PATIENCE: Duration = Duration::from_secs(30);
const OPERATOR: (&str, &str) = ("operator", "operators own");
const USERS: &str = "blog.users.conf";
const TOPICS: [&str; 3] = ["posts", "comments", "moderation"];
/// A server that knows who is who, and the configuration of a blog that has its users there.
struct Provisioned {
    server: Nats,
    at: tempfile::TempDir,
}

impl Provisioned {
    /// From a server without users, as one is installed.
    fn new() -> Provisioned {
        let at = tempfile::tempdir().expect("a directory");
        let open = wait(Settings::new().directory(at.path().join("nats")).start());
        let output = provision(&open, at.path(), &[]);
        fs::write(at.path().join("divisi.toml"), &output.stdout).expect("the file");
        wait(open.stop());
        drop(open);
        let server = start(at.path());
        Provisioned { server, at }
    }

    fn path(&self, name: &str) -> String {
        self.at.path().join(name).display().to_string()
    }

    fn passwords(&self) -> Passwords {
        Passwords::read(&self.at.path().join("passwords.toml"))
    }

    fn blog(&self, set_up: SetUp, data: &Path, variables: &[(&str, &str)]) -> Blog {
        Blog::start_with(set_up, data, |start| {
            let start = start.with("--config").with(self.path("divisi.toml"));
            variables.iter().fold(start, |start, (name, value)| start.variable(name, *value))
        })
    }
}

#[test]
fn each_user_on_nats_publishes_its_own_topics_and_reads_what_it_hears_and_no_more() {
    let provisioned = Provisioned::new();
    let users = fs::read_to_string(provisioned.path("nats/blog.users.conf")).expect("the file");
    let again = provision(&provisioned.server, provisioned.at.path(), &[]);
    let told = String::from_utf8_lossy(&again.stderr);
    assert_eq!(told.matches("was there").count(), TOPICS.len(), "{told}");
    assert_eq!(fs::read_to_string(provisioned.path("nats/blog.users.conf")).expect("the file"), users);
    assert_eq!(again.stdout, fs::read(provisioned.path("divisi.toml")).expect("the file"));
    let passwords = provisioned.passwords();
    for (user, ..) in HEARD {
        let password = passwords.of(user);
        assert!(!told.contains(password) && !users.contains(password), "no secret of `{user}` is shown");
    }

    let peer = |user: &str| Peer::connect(provisioned.server.address(), user, passwords.of(user));
    let mut peers = HEARD.map(|(user, ..)| peer(user));
    let mut n_permitted = 0;
    for (peer, (user, announces, hears)) in peers.iter_mut().zip(HEARD) {
        let mut check = |act: Act, subject: &str, permitted: bool| {
            assert_eq!(peer.may(act, subject), permitted, "{user}: {act:?} {subject}");
            n_permitted += usize::from(permitted);
        };
        for topic in TOPICS {
            let (own, heard) = (announces.contains(&topic), hears.contains(&topic));
            check(Act::Publish, &format!("evt.{topic}.7"), own);
            check(Act::Publish, &format!("evt-beacon.{topic}"), own);
            check(Act::Subscribe, &format!("evt-beacon.{topic}"), heard);
            check(Act::Subscribe, &format!("evt.{topic}.*"), false);
            for (asked, permitted) in [
                ("STREAM.INFO.evt_~", own || heard),
                ("STREAM.MSG.GET.evt_~", own || heard),
                ("CONSUMER.CREATE.evt_~.mine.evt.~.7", heard),
                ("CONSUMER.MSG.NEXT.evt_~.mine", heard),
                ("STREAM.CREATE.evt_~", false),
                ("STREAM.UPDATE.evt_~", false),
                ("STREAM.DELETE.evt_~", false),
                ("STREAM.PURGE.evt_~", false),
                ("STREAM.MSG.DELETE.evt_~", false),
                ("CONSUMER.NAMES.evt_~", false),
                ("CONSUMER.DELETE.evt_~.another", false),
            ] {
                check(Act::Publish, &format!("$JS.API.{}", asked.replace('~', topic)), permitted);
            }
        }
        for (other, ..) in HEARD {
            check(Act::Subscribe, &format!("_INBOX.{other}.>"), other == user);
        }
        for subject in [">", "_INBOX.>", "$JS.>", "evt.>", "another.app"] {
            check(Act::Subscribe, subject, false);
        }
        for subject in ["another.app", "_INBOX.posts.x", "$JS.API.STREAM.NAMES", "$SYS.REQ.SERVER.PING"] {
            check(Act::Publish, subject, false);
        }
    }
    // Three owners with four rights, five pairs of a reader and a topic with five, and four inboxes.
    assert_eq!(n_permitted, 3 * 4 + 5 * 5 + 4);
    let refused = Peer::try_connect(provisioned.server.address(), "posts", passwords.of("query"));
    assert!(refused.is_err(), "another's password");
}

/// A control: where all services share a user, nothing is between them.
#[test]
fn a_user_that_all_services_share_on_nats_publishes_and_reads_everything() {
    let conf = r#"authorization { users = [ { user: "blog", password: "shared" } ] }"#;
    let server = wait(Settings::new().conf(conf).start());
    let mut peer = Peer::connect(server.address(), "blog", "shared");
    for topic in TOPICS {
        for subject in [format!("evt.{topic}.7"), format!("evt-beacon.{topic}")] {
            assert!(peer.may(Act::Publish, &subject) && peer.may(Act::Subscribe, &subject), "{subject}");
        }
        assert!(peer.may(Act::Publish, &format!("$JS.API.STREAM.DELETE.evt_{topic}")));
    }
    assert!(peer.may(Act::Subscribe, "_INBOX.>"), "all answers");
}

/// In one process, where each service has a connection of its own, and split.
#[test]
fn the_blog_reads_its_events_from_nats_as_the_users_that_were_made() {
    let provisioned = Provisioned::new();
    // A post, its comments, a judgement and a change of each.
    let mut n_events = 0;
    for set_up in [SetUp::Whole, SetUp::Split] {
        let data = tempfile::tempdir().expect("a directory");
        let blog = provisioned.blog(set_up, data.path(), &[]);
        let mut writer = Writer::new(blog.address);
        let post = writer.post("a post", "k1");
        let n_comments = comments_come_through(&blog, &mut writer, &post);
        n_events += 1 + 3 * n_comments as u64;
        let mut peer = Peer::connect(provisioned.server.address(), OPERATOR.0, OPERATOR.1);
        let stored = || TOPICS.iter().map(|topic| peer.n_messages(&format!("evt_{topic}"))).sum::<u64>();
        eventually("all events are on NATS", PATIENCE, stored, |n| *n == n_events);
        let output = blog.stop();
        assert!(!output.contains("does not let"), "{set_up:?}: {output}");
    }
}

#[test]
fn a_service_that_nats_refuses_says_who_and_what_and_the_blog_goes_on() {
    let provisioned = Provisioned::new();
    let data = tempfile::tempdir().expect("a directory");
    let wrong = [("DIVISI_SERVICES__COMMENTS__CARRIER_PASSWORD", "wrong")];
    let mut blog = provisioned.blog(SetUp::Split, data.path(), &wrong);
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    writer.comment(&post, "a comment", "k2");
    quiet(&mut writer, 1, 1);
    let words = "it refuses the user `comments` of the service `comments`; correct user and password";
    blog.says(words);
    let output = blog.stop();
    assert!(!output.contains("user `query`"), "{output}");

    // Somebody takes a right away by hand.
    wait(provisioned.server.stop());
    let file = provisioned.path("nats/blog.users.conf");
    let users = fs::read_to_string(&file).expect("the file");
    fs::write(&file, users.replace("\"evt.comments.*\"", "\"evt.nothing\"")).expect("the file");
    wait(provisioned.server.start());
    let mut blog = provisioned.blog(SetUp::Split, data.path(), &[]);
    let mut writer = Writer::new(blog.address);
    writer.comment(&post, "another comment", "k3");
    quiet(&mut writer, 1, 2);
    blog.says("NATS does not let the user `comments` of the service `comments` publish to `evt.comments.");
    blog.stop();
}

#[test]
fn a_dry_run_prints_streams_and_users_and_touches_nothing() {
    let at = tempfile::tempdir().expect("a directory");
    let server = wait(Settings::new().directory(at.path().join("nats")).start());
    let url = server.url_for(OPERATOR.0, "secret");
    let output = blog(&["provision", "--nats", &url, "--dry-run"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "# nats stream add 'evt_posts' --subjects 'evt.posts.*' --storage file",
        r#"{ user: "operator", password: "…" }"#,
        r#"{ user: "query", password: "…", permissions: {"#,
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
    let mut peer = Peer::connect(server.address(), "", "");
    assert!(!peer.has_stream("evt_posts"), "a dry run makes nothing");
}

#[test]
fn what_cannot_be_provisioned_on_nats_is_said() {
    let at = tempfile::tempdir().expect("a directory");
    let server = wait(Nats::launch());
    let file = at.path().join(USERS).display().to_string();
    let table: [(&[&str], &str); 4] = [
        (&["--nats", &server.url(), "--out", &file], "`--nats` names no user"),
        (&["--nats", &server.url_for("query", "x"), "--out", &file], "is called as the service `query`"),
        (
            &["--nats", "nats://operator:x@127.0.0.1:1", "--out", &file],
            "there is no connection to 127.0.0.1:1",
        ),
        (&["--nats", &server.url_for("operator", "x")], "--out <FILE>"),
    ];
    for (arguments, words) in table {
        let output = blog(&[&["provision"], arguments].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(words), "`{words}` is not in {told}");
        assert!(output.stdout.is_empty() && !Path::new(&file).exists(), "{output:?}");
    }
}

/// Starts the server that lives in a directory, with the users that were put there.
fn start(at: &Path) -> Nats {
    let conf = format!("authorization {{ include \"{USERS}\" }}");
    wait(Settings::new().directory(at.join("nats")).conf(conf).start())
}

/// Runs the command as the operator; it must succeed.
fn provision(server: &Nats, at: &Path, more: &[&str]) -> Output {
    let operator = server.url_for(OPERATOR.0, &OPERATOR.1.replace(' ', "%20"));
    let (file, passwords) = (at.join("nats").join(USERS), at.join("passwords.toml"));
    let (file, passwords) = (file.display().to_string(), passwords.display().to_string());
    let command = ["provision", "--nats", &operator, "--out", &file, "--password-file", &passwords];
    let output = blog(&[&command, more].concat());
    assert!(output.status.success(), "{output:?}");
    output
}
