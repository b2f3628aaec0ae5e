//! On Kafka: two topics a topic, and a user a service that writes its own and reads what it hears.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use divisi::events::{Carrier, CarrierError};
use divisi::kafka::{Credentials, Kafka, Mechanism, Options};
use divisi::store::{Epochs, Lane};
use divisi_servers::kafka::Settings;

use crate::blog::{Blog, SetUp, Writer};
use crate::provision::carried::comments_come_through;
use crate::provision::users::{HEARD, Passwords};
use crate::provision::{blog, wait};
use crate::scenario::quiet;

const OPERATOR: (&str, &str) = ("operator", "secret");

/// By SCRAM. Nobody may anything, but the operator and whoever comes from inside.
fn launch() -> divisi_servers::Kafka {
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let server = wait(
        Settings::new()
            .protocol("SASL_PLAINTEXT")
            .property("sasl.enabled.mechanisms", "SCRAM-SHA-512")
            .property("listener.name.client.scram-sha-512.sasl.jaas.config", format!("{module} required;"))
            .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .property("super.users", format!("User:ANONYMOUS;User:{}", OPERATOR.0))
            .start(),
    );
    let brokers = server.internal_address().to_string();
    let add = format!("SCRAM-SHA-512=[password={}]", OPERATOR.1);
    let user = ["--alter", "--entity-type", "users", "--entity-name", OPERATOR.0, "--add-config", &add];
    let commands = divisi_servers::kafka::commands().expect("`cargo xtask servers` brings them");
    let mut command = Command::new(commands.join("kafka-configs.sh"));
    well(&command.args(["--bootstrap-server", &brokers]).args(user).output().expect("a shell"));
    server
}

#[test]
fn each_user_on_kafka_writes_its_own_topics_and_reads_what_it_hears_and_the_blog_runs_on_them() {
    let server = launch();
    let at = tempfile::tempdir().expect("a directory");
    let path = |name: &str| at.path().join(name);
    let output = provision(&server, at.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.matches("of its beacons, made").count(), 3, "{told}");
    fs::write(path("divisi.toml"), &output.stdout).expect("the file");
    let script = fs::read(path("blog.users.sh")).expect("the file");
    run(&server, at.path());
    let again = provision(&server, at.path());
    let told = String::from_utf8_lossy(&again.stderr);
    assert_eq!(told.matches("was there").count(), 3, "{told}");
    assert_eq!(again.stdout, output.stdout);
    assert_eq!(fs::read(path("blog.users.sh")).expect("the file"), script);
    let passwords = Passwords::read(&path("passwords.toml"));
    assert!(HEARD.iter().all(|(user, ..)| !told.contains(passwords.of(user))), "secrets are elsewhere");

    for (user, announces, hears) in HEARD {
        matrix(&server, user, passwords.of(user), announces, hears);
    }
    runs(&server, at.path());
    refused(&server, at.path());
}

/// What a user can do with each topic, by the carrier itself.
fn matrix(server: &divisi_servers::Kafka, user: &str, password: &str, announces: &[&str], hears: &[&str]) {
    let options = Options {
        credentials: Some(Credentials::new(Mechanism::ScramSha512, user, password)),
        create: false,
        ..Options::new("blog", server.url()).alone()
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let kafka = Kafka::new(options).expect("options that fit together");
        for topic in ["posts", "comments", "moderation"] {
            let (owner, own) = (topic.into(), announces.contains(&topic));
            let told = kafka.beacon(&owner, topic, &Epochs::default(), &[]).await;
            assert_eq!(told.is_ok(), own, "{user} tells of {topic}: {told:?}");
            let read = kafka.read(&owner, topic, vec![(Lane(7), None)]).await.map(drop);
            let may_read = own || hears.contains(&topic);
            assert_eq!(read.is_ok(), may_read, "{user} reads {topic}: {read:?}");
            if let Err(error) = read {
                let refusal = format!("TopicAuthorizationFailed (Broker: Topic authorization failed); it refuses the user `{user}`");
                assert!(matches!(&error, CarrierError::Misconfigured(words) if words.contains(&refusal)), "{error}");
            }
        }
        kafka.close().await;
    });
}

fn runs(server: &divisi_servers::Kafka, at: &Path) {
    let data = tempfile::tempdir().expect("a directory");
    let blog = start(server, at, data.path(), &[]);
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    comments_come_through(&blog, &mut writer, &post);
    let output = blog.stop();
    assert!(!output.contains("it refuses"), "{output}");
}

fn refused(server: &divisi_servers::Kafka, at: &Path) {
    let data = tempfile::tempdir().expect("a directory");
    let mut blog =
        start(server, at, data.path(), &[("DIVISI_SERVICES__COMMENTS__CARRIER_PASSWORD", "wrong")]);
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    writer.comment(&post, "a comment", "k2");
    quiet(&mut writer, 1, 1);
    blog.says("it refuses the user `comments` of the service `comments`; `provision --kafka` makes users");
    blog.stop();
}

#[test]
fn a_dry_run_prints_topics_and_rights_and_asks_nobody() {
    let output = blog(&["provision", "--kafka", "kafka://operator:secret@127.0.0.1:1", "--dry-run"]);
    well(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "kafka-topics.sh --bootstrap-server '127.0.0.1:1' --create --if-not-exists --topic 'posts' --partitions 8",
        "--add --allow-principal 'User:query' --operation Read --operation DescribeConfigs \\\n  \
         --topic 'comments' --topic 'comments.beacons' --topic 'posts' --topic 'posts.beacons'",
        "SCRAM-SHA-512=password=…\n",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

fn start(server: &divisi_servers::Kafka, at: &Path, data: &Path, variables: &[(&str, &str)]) -> Blog {
    let file = at.join("divisi.toml").display().to_string();
    let replicas = ("DIVISI_CARRIER__REPLICAS", "1");
    assert!(fs::read_to_string(&file).expect("the file").contains(&server.url()));
    Blog::start_with(SetUp::Split, data, |start| {
        let variables = variables.iter().chain([&replicas]);
        variables
            .fold(start.with("--config").with(&file), |start, (name, value)| start.variable(name, *value))
    })
}

/// Runs the command as the operator; it must succeed.
fn provision(server: &divisi_servers::Kafka, at: &Path) -> Output {
    let url = format!("kafka://{}:{}@{}", OPERATOR.0, OPERATOR.1, server.url());
    let path = |name: &str| at.join(name).display().to_string();
    fs::write(at.join("alone.toml"), "carrier.replicas = 1\n").expect("the file");
    let output = blog(&[
        "provision",
        "--kafka",
        &url,
        "--out",
        &path("blog.users.sh"),
        "--password-file",
        &path("passwords.toml"),
        "--config",
        &path("alone.toml"),
    ]);
    well(&output);
    output
}

/// Runs the script, as an operator with Kafka's own commands does.
fn run(server: &divisi_servers::Kafka, at: &Path) {
    let commands = divisi_servers::kafka::commands().expect("`cargo xtask servers` brings them");
    let path = format!("{}:{}", commands.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.arg(at.join("blog.users.sh")).env("PATH", path);
    well(&command.env("BROKERS", server.internal_address().to_string()).output().expect("a shell"));
}

#[track_caller]
fn well(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}
