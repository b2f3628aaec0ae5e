//! Topics and rights as an operator makes them: each user writes its own topics, reads what it hears, and no more.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use divisi_contract::ServiceName;
use divisi_events::Carrier;
use divisi_events::carrier::{Carried, CarrierError, Head};
use divisi_kafka::{Credentials, Kafka, Mechanism, Options, ProvisionError, User, provision, script};
use divisi_servers::kafka::Settings;
use divisi_store::{Epochs, Lane, Pos};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::timeout;

const TOPICS: [&str; 2] = ["sales", "entries"];
const NAMES: [&str; 4] = ["sales", "sales.beacons", "entries", "entries.beacons"];
const PATIENCE: Duration = Duration::from_secs(20);
const ACTS: [Act; 5] = [Act::Write, Act::Read, Act::Look, Act::Change, Act::Make];

/// What is tried with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Write,
    Read,
    Look,
    Change,
    Make,
}

/// By PLAIN, with the user's own name as its password. Nobody may anything, but whoever comes from inside.
async fn launch() -> divisi_servers::Kafka {
    let users = ["shop", "ledger", "idle", "all"].map(|user| format!(" user_{user}=\"{user}\""));
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    Settings::new()
        .protocol("SASL_PLAINTEXT")
        .property("sasl.enabled.mechanisms", "PLAIN")
        .property(
            "listener.name.client.plain.sasl.jaas.config",
            format!("{module} required{};", users.concat()),
        )
        .property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .property("super.users", "User:ANONYMOUS")
        .start()
        .await
        .expect("a broker; `cargo xtask up kafka` brings one")
}

fn user(name: &'static str, announces: &[&'static str], hears: &[&'static str]) -> User<'static> {
    let set = |topics: &[&'static str]| topics.iter().copied().collect::<BTreeSet<_>>();
    User { name, password: None, announces: set(announces), hears: set(hears) }
}

/// Runs the script as an operator does, with Kafka's own commands.
async fn run(server: &divisi_servers::Kafka, users: &[User<'_>]) {
    let options = operators(server);
    let script = script(&options, Mechanism::Plain, &TOPICS, users).expect("topics");
    let commands = divisi_servers::kafka::commands().expect("`cargo xtask servers` brings them");
    let ran = tokio::task::spawn_blocking(move || sh(&script, &commands));
    let output = ran.await.expect("joined");
    assert!(output.status.success(), "{output:?}");
}

fn sh(script: &str, commands: &Path) -> std::process::Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", commands.display());
    Command::new("sh").args(["-c", script, "sh"]).env("PATH", path).output().expect("a shell")
}

fn operators(server: &divisi_servers::Kafka) -> Options {
    Options::new("market", server.internal_address().to_string()).alone()
}

fn as_user(server: &divisi_servers::Kafka, user: &str) -> Options {
    Options {
        credentials: Some(Credentials::new(Mechanism::Plain, user, user)),
        services: vec![format!("{user}s")],
        create: false,
        ..Options::new("market", server.url()).alone()
    }
}

fn client(server: &divisi_servers::Kafka, user: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", server.url())
        .set("security.protocol", "sasl_plaintext")
        .set("sasl.mechanisms", "PLAIN")
        .set("sasl.username", user)
        .set("sasl.password", user)
        .set("group.id", "none")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("message.timeout.ms", "20000");
    config
}

/// Tries it with a plain client, and tells whether the broker lets it.
async fn may(server: &divisi_servers::Kafka, user: &str, act: Act, topic: &str) -> bool {
    let config = client(server, user);
    let admin = || config.create::<AdminClient<DefaultClientContext>>().expect("a client");
    let within = AdminOptions::new().request_timeout(Some(PATIENCE));
    let outcome = match act {
        Act::Write => {
            let producer: FutureProducer = config.create().expect("a client");
            let record = FutureRecord::to(topic).partition(0).key("apple").payload("rubbish");
            producer.send(record, PATIENCE).await.map(drop).map_err(|(error, _)| code(&error))
        }
        Act::Read => {
            let (config, topic) = (config.clone(), topic.to_owned());
            tokio::task::spawn_blocking(move || read(&config, &topic)).await.expect("joined")
        }
        Act::Look => {
            let looked = admin().describe_configs(&[ResourceSpecifier::Topic(topic)], &within).await;
            // What is refused comes back empty: the client passes the reason over.
            let is_empty = looked.expect("an answer").remove(0).expect("an answer").entries.is_empty();
            if is_empty { Err(RDKafkaErrorCode::TopicAuthorizationFailed) } else { Ok(()) }
        }
        Act::Change => {
            // It would fail anyway, after the right was looked at.
            let new = rdkafka::admin::NewPartitions::new(topic, 1);
            let changed = admin().create_partitions([&new], &within).await.expect("an answer").remove(0);
            match changed {
                Err((_, RDKafkaErrorCode::InvalidPartitions)) => Ok(()),
                changed => changed.map(drop).map_err(|(_, code)| code),
            }
        }
        Act::Make => {
            let name = format!("{topic}.{user}");
            let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
            let made = admin().create_topics([&new], &within).await.expect("an answer").remove(0);
            made.map(drop).map_err(|(_, code)| code)
        }
    };
    match outcome {
        Ok(()) => true,
        Err(RDKafkaErrorCode::TopicAuthorizationFailed) => false,
        Err(other) => panic!("{user}: {act:?} {topic}: {other}"),
    }
}

fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or_else(|| panic!("{error}"))
}

/// Reads the first record of a topic, which has one.
fn read(config: &ClientConfig, topic: &str) -> Result<(), RDKafkaErrorCode> {
    let consumer: BaseConsumer = config.create().expect("a client");
    // A client that does not see the topic asks again for ever.
    let seen = consumer.fetch_metadata(Some(topic), PATIENCE).expect("an answer");
    if let Some(error) = seen.topics().first().and_then(|topic| topic.error()) {
        return Err(error.into());
    }
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
    consumer.assign(&from).expect("assigned");
    loop {
        match consumer.poll(PATIENCE) {
            Some(Ok(_)) => return Ok(()),
            // The client asks for a group though it joins none; nobody has a right to any.
            Some(Err(error)) if code(&error) == RDKafkaErrorCode::GroupAuthorizationFailed => {}
            Some(Err(error)) => return Err(code(&error)),
            None => panic!("no record of `{topic}` in time"),
        }
    }
}

/// Looks at everything that a user could try; `granted` says what opens.
async fn check(server: &divisi_servers::Kafka, user: &str, granted: impl Fn(Act, &str) -> bool) {
    for name in NAMES {
        for act in ACTS {
            assert_eq!(may(server, user, act, name).await, granted(act, name), "{user}: {act:?} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_writes_its_own_topics_and_reads_what_it_hears_and_no_more() {
    let server = launch().await;
    let first = provision(operators(&server), &TOPICS).await.expect("the operator may");
    assert_eq!(first, [("sales".to_owned(), true), ("entries".to_owned(), true)]);
    let again = provision(operators(&server), &TOPICS).await.expect("and again");
    assert!(again.iter().all(|(_, made)| !made), "{again:?}");
    let shop = user("shop", &["sales"], &[]);
    run(&server, &[shop.clone(), user("ledger", &["entries"], &["sales"]), user("idle", &[], &[])]).await;
    run(&server, &[user("all", &TOPICS, &[])]).await;
    // A control, which also puts a record into each topic: where all services share a user, nothing is between them.
    check(&server, "all", |act, _| matches!(act, Act::Write | Act::Read | Act::Look)).await;

    let is = |name: &str, topic: &str| name.split('.').next() == Some(topic);
    check(&server, "shop", |act, name| match act {
        Act::Write | Act::Read | Act::Look => is(name, "sales"),
        _ => false,
    })
    .await;
    check(&server, "ledger", |act, name| match act {
        Act::Write => is(name, "entries"),
        Act::Read | Act::Look => true,
        _ => false,
    })
    .await;
    check(&server, "idle", |_, _| false).await;

    the_least_rights_are_enough(&server).await;
    refusals_name_who_and_what(&server).await;

    // The ledger hears the sales no more, and the shop hears the entries.
    let users = [user("shop", &["sales"], &["entries"]), user("ledger", &["entries"], &[])];
    run(&server, &users).await;
    for (user, topic, reads) in
        [("ledger", "sales", false), ("ledger", "entries", true), ("shop", "entries", true)]
    {
        assert_eq!(may(&server, user, Act::Read, topic).await, reads, "{user}: {topic}");
    }
    assert!(!may(&server, "shop", Act::Write, "entries").await);
}

async fn the_least_rights_are_enough(server: &divisi_servers::Kafka) {
    let carrier = |user| Kafka::new(as_user(server, user)).expect("options that fit together");
    let (shop, ledger, source) = (carrier("shop"), carrier("ledger"), ServiceName::from("shop"));
    let mut arrivals = ledger.read(&source, "sales", vec![(Lane(0), None)]).await.expect("it reads");
    let heads = [(Lane(0), Pos(7))];
    shop.beacon(&source, "sales", &Epochs::default(), &heads).await.expect("it tells its heads");
    let arrived = timeout(PATIENCE, arrivals.next()).await.expect("in time");
    assert!(matches!(arrived, Some(Ok(Carried::Beacon { .. }))), "{arrived:?}");
    // What lies there is the rubbish of before.
    assert_eq!(shop.head(&source, "sales", Lane(1)).await.expect("it looks"), Head::Empty);
    shop.close().await;
}

async fn refusals_name_who_and_what(server: &divisi_servers::Kafka) {
    let carrier = |options| Kafka::new(options).expect("options that fit together");
    let source = ServiceName::from("shop");
    let head = async |options| carrier(options).head(&source, "sales", Lane(0)).await;
    let words = match head(as_user(server, "idle")).await {
        Err(CarrierError::Misconfigured(words)) => words,
        other => panic!("it has no business there: {other:?}"),
    };
    for part in
        ["cannot look at the topic `sales`", "the user `idle` of the service `idles`", "provision --kafka"]
    {
        assert!(words.contains(part), "`{part}` is not in: {words}");
    }
    let ledger = carrier(as_user(server, "ledger"));
    let error = ledger.beacon(&source, "sales", &Epochs::default(), &[]).await.expect_err("it is the shop's");
    let words = error.to_string();
    let parts = ["cannot publish to `sales.beacons`", "the user `ledger` of the service `ledgers`"];
    assert!(parts.iter().all(|part| words.contains(part)), "{words}");
    let wrong = Options {
        credentials: Some(Credentials::new(Mechanism::Plain, "shop", "wrong")),
        answer_within: Duration::from_secs(2),
        ..as_user(server, "shop")
    };
    let Err(ProvisionError::Topic { source, .. }) = provision(wrong, &TOPICS).await else {
        panic!("it is let in by a wrong password");
    };
    let words = source.to_string();
    let parts = ["Authentication failed", "it refuses the user `shop`"];
    assert!(parts.iter().all(|part| words.contains(part)), "{words}");
}
