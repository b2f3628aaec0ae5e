//! The same work on each engine: files, PostgreSQL, and PostgreSQL with NATS or Kafka beside. Kills on.

use std::time::Duration;

use divisi::events::{Carrier, Head};
use divisi::kafka::Kafka;
use divisi::nats::Nats;
use divisi::store::Lane;
use divisi_servers::{Error, Postgres};
use divisi_testkit::eventually;

use crate::blog::{Blog, SetUp};
use crate::scenario::{POSTS, in_files, work};
use crate::server::{Database, Either, wait};
use crate::tables::{Tables, open};

#[test]
fn the_same_work_leaves_the_same_tables_and_events_on_every_engine() {
    let whole = in_files(SetUp::Whole);
    let servers = Servers::start();
    let outcomes = [
        ("split, in files", in_files(SetUp::Split)),
        ("comments on PostgreSQL, the others in files", servers.mixed()),
        ("split, on PostgreSQL", servers.run("log", "")),
        ("split, on PostgreSQL with NATS", servers.run("nats", &servers.nats.url())),
        (
            "split, on PostgreSQL with Kafka",
            servers.run("kafka", &format!("kafka://{}", servers.kafka.url())),
        ),
    ];
    for (set_up, tables) in outcomes {
        assert_eq!(tables.rows, whole.rows, "{set_up} against one process in files");
        assert_eq!(tables.events, whole.events, "{set_up} against one process in files");
        assert_eq!(tables.hash(), whole.hash());
    }
}

/// Real servers, each on a port and in a directory of its own.
struct Servers {
    postgres: Postgres,
    nats: divisi_servers::Nats,
    kafka: divisi_servers::Kafka,
}

impl Servers {
    fn start() -> Servers {
        wait(async {
            let postgres = Postgres::launch().await?;
            let nats = divisi_servers::Nats::launch().await?;
            Ok::<_, Error>(Servers { postgres, nats, kafka: divisi_servers::Kafka::launch().await? })
        })
    }

    /// Does the work with one service in a database and the others in files.
    fn mixed(&self) -> Tables {
        wait(self.postgres.sql("CREATE DATABASE mixed_comments"));
        let data = tempfile::tempdir().expect("a directory");
        let url = self.postgres.url_for("postgres", "postgres", "mixed_comments");
        let blog = Blog::start_with(SetUp::Split, data.path(), |start| {
            start.variable("DIVISI_SERVICES__COMMENTS__STORE", url)
        });
        work(blog, || ());
        let file = |name: &str| Either::File(open(&data.path().join(name)));
        let comments =
            Database { server: &self.postgres, name: "mixed_comments".to_owned(), schema: "public" };
        Tables::of([
            file("posts.db"),
            Either::Server(comments),
            file("moderation.db"),
            file("query.posts.v1.db"),
        ])
    }

    /// Does the work with a process a service, in databases whose names begin with `name`.
    fn run(&self, name: &str, carrier: &str) -> Tables {
        for service in ["posts", "comments", "moderation", "query"] {
            wait(self.postgres.sql(format!("CREATE DATABASE {name}_{service}")));
        }
        let data = tempfile::tempdir().expect("a directory");
        let url = self.postgres.url_for("postgres", "postgres", &format!("{name}_{{service}}"));
        let blog = Blog::start_with(SetUp::Split, data.path(), |start| {
            start
                .variable("DIVISI_STORE__URL", url)
                .variable("DIVISI_STORE__CONNECTIONS_MAX", "6")
                .variable("DIVISI_CARRIER__URL", carrier)
                .variable("DIVISI_CARRIER__REPLICAS", "1")
        });
        work(blog, || {
            if !carrier.is_empty() {
                let patience = Duration::from_secs(60);
                eventually(
                    "all posts on the carrier",
                    patience,
                    || carried(carrier, "posts"),
                    |n| *n == POSTS as i64,
                );
            }
        });
        let database = |service: &str, schema: &'static str| Database {
            server: &self.postgres,
            name: format!("{name}_{service}"),
            schema,
        };
        Tables::of([
            database("posts", "public"),
            database("comments", "public"),
            database("moderation", "public"),
            database("query", "posts_v1"),
        ])
    }
}

/// How many events of a service's topic lie on a carrier.
pub(crate) fn carried(url: &str, topic: &'static str) -> i64 {
    let count = async {
        let carrier: Box<dyn Carrier> = match url.strip_prefix("kafka://") {
            Some(brokers) => Box::new(Kafka::new(divisi::kafka::Options::new("blog", brokers).alone())?),
            None => Box::new(Nats::connect(divisi::nats::Options::new("blog", [url])).await?),
        };
        let mut count = 0;
        for lane in (0..64).map(Lane) {
            if let Head::At(_, pos) = carrier.head(&topic.into(), topic, lane).await? {
                count += pos.0;
            }
        }
        Ok::<_, Box<dyn std::error::Error>>(count)
    };
    wait(count)
}
