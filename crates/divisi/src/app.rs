//! The app as its binary describes it, on the databases, the brokers and the edge that come with this crate's features.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "postgres")]
mod mixed;
#[cfg(feature = "postgres")]
mod moving;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "postgres")]
mod postgres;

#[cfg(feature = "postgres")]
use std::collections::BTreeSet;
use std::sync::Arc;

use divisi_contract::ServiceName;
use divisi_events::Carrier;
use divisi_host::App;
use divisi_host::backends::{Backends, BoxError, Engine, Moved, Moving, Plan, Provisioned};
use divisi_host::config::{self, Config};
use divisi_sqlite::{Options, Sqlite};
use divisi_store::{BoxFuture, Stores};

/// An app called `name`, as its binary is.
///
/// Its services keep their data in SQLite files in the data directory, and read events from each other's logs. With the
/// feature `postgres`, `store.url` names a PostgreSQL server instead; with `nats` or `kafka`, `carrier.url` a broker that
/// spreads the events.
///
/// ```no_run
/// use divisi::{Exit, WithGateway};
///
/// fn main() -> Exit {
///     divisi::app("blog").gateway().main()
/// }
/// ```
pub fn app(name: &'static str) -> App {
    App::new(name, BuiltIn)
}

/// An address asks for something that this binary does not have.
#[derive(Debug, thiserror::Error)]
enum NotBuiltIn {
    #[error(
        "`{key}` names {what}, which this binary was built without; build it with the feature `{feature}`"
    )]
    Feature { key: String, what: &'static str, feature: &'static str },
    #[error("`{key}` begins with `{scheme}://`, which is not known; {known}")]
    Scheme { key: String, scheme: String, known: &'static str },
}

/// What comes with the features.
struct BuiltIn;

impl Backends for BuiltIn {
    fn stores(&self, app: &str, config: &Config) -> Result<Arc<dyn Stores>, BoxError> {
        let named =
            config.services.iter().filter_map(|(name, service)| Some((name, service.store.reveal()?)));
        let all = config.store.url.reveal().is_some();
        let urls = config.store.url.reveal().map(|url| ("store.url".to_owned(), url));
        let urls =
            urls.into_iter().chain(named.clone().map(|(name, url)| (format!("services.{name}.store"), url)));
        let mut remote = false;
        for (key, url) in urls {
            match scheme(url) {
                "postgres" | "postgresql" if cfg!(feature = "postgres") => remote = true,
                "postgres" | "postgresql" => {
                    return Err(NotBuiltIn::Feature { key, what: "PostgreSQL", feature: "postgres" }.into());
                }
                scheme => {
                    let known = "an address of PostgreSQL begins with `postgres://`, and without one data is in SQLite files";
                    return Err(NotBuiltIn::Scheme { key, scheme: scheme.to_owned(), known }.into());
                }
            }
        }
        if !remote {
            return Ok(sqlite(config));
        }
        #[cfg(feature = "postgres")]
        {
            let server = postgres::stores(app, config);
            let remote: BTreeSet<String> = named.map(|(name, _)| name.clone()).collect();
            if all || remote.len() == config.services.len() {
                return Ok(server);
            }
            Ok(Arc::new(mixed::Mixed { files: sqlite(config), server, remote }))
        }
        #[cfg(not(feature = "postgres"))]
        {
            let _ = (app, all);
            Ok(sqlite(config))
        }
    }

    fn carrier<'a>(
        &'a self,
        app: &'a str,
        broker: &'a config::Carrier,
        services: &'a [ServiceName],
    ) -> BoxFuture<'a, Result<Option<Arc<dyn Carrier>>, BoxError>> {
        Box::pin(async move {
            let Some(url) = broker.url.reveal() else { return Ok(None) };
            let key = || "carrier.url".to_owned();
            let _ = (app, services);
            match scheme(url) {
                #[cfg(feature = "nats")]
                "nats" | "tls" => nats::carrier(app, url, broker, services).await.map(Some),
                #[cfg(feature = "kafka")]
                "kafka" => kafka::carrier(app, url, broker, services).map(Some),
                #[cfg(not(feature = "nats"))]
                "nats" | "tls" => {
                    Err(NotBuiltIn::Feature { key: key(), what: "NATS", feature: "nats" }.into())
                }
                #[cfg(not(feature = "kafka"))]
                "kafka" => Err(NotBuiltIn::Feature { key: key(), what: "Kafka", feature: "kafka" }.into()),
                scheme => {
                    let known = "a broker's address begins with `nats://` or `kafka://`";
                    Err(NotBuiltIn::Scheme { key: key(), scheme: scheme.to_owned(), known }.into())
                }
            }
        })
    }

    fn provision<'a>(&'a self, plan: &'a Plan) -> BoxFuture<'a, Result<Provisioned, BoxError>> {
        Box::pin(async move {
            let scheme = plan.server.reveal().map_or("", scheme);
            let (key, known) = match plan.engine {
                Engine::Postgres => ("--postgres", "an address of PostgreSQL begins with `postgres://`"),
                Engine::Nats => ("--nats", "an address of NATS begins with `nats://` or `tls://`"),
                Engine::Kafka => ("--kafka", "an address of Kafka begins with `kafka://`"),
                _ => ("provision", "this binary cannot provision it"),
            };
            match (plan.engine, scheme) {
                #[cfg(feature = "postgres")]
                (Engine::Postgres, "postgres" | "postgresql") => postgres::provision(plan).await,
                #[cfg(feature = "nats")]
                (Engine::Nats, "nats" | "tls") => nats::provision(plan).await,
                #[cfg(feature = "kafka")]
                (Engine::Kafka, "kafka") => kafka::provision(plan).await,
                #[cfg(not(feature = "postgres"))]
                (Engine::Postgres, "postgres" | "postgresql") => {
                    Err(NotBuiltIn::Feature { key: key.to_owned(), what: "PostgreSQL", feature: "postgres" }
                        .into())
                }
                #[cfg(not(feature = "nats"))]
                (Engine::Nats, "nats" | "tls") => {
                    Err(NotBuiltIn::Feature { key: key.to_owned(), what: "NATS", feature: "nats" }.into())
                }
                #[cfg(not(feature = "kafka"))]
                (Engine::Kafka, "kafka") => {
                    Err(NotBuiltIn::Feature { key: key.to_owned(), what: "Kafka", feature: "kafka" }.into())
                }
                _ => Err(NotBuiltIn::Scheme { key: key.to_owned(), scheme: scheme.to_owned(), known }.into()),
            }
        })
    }

    fn move_store<'a>(&'a self, moving: &'a Moving) -> BoxFuture<'a, Result<Moved, BoxError>> {
        Box::pin(async move {
            let key = || "--to".to_owned();
            match moving.to.reveal().map_or("", scheme) {
                #[cfg(feature = "postgres")]
                "postgres" | "postgresql" => moving::run(moving).await,
                #[cfg(not(feature = "postgres"))]
                "postgres" | "postgresql" => {
                    Err(NotBuiltIn::Feature { key: key(), what: "PostgreSQL", feature: "postgres" }.into())
                }
                scheme => {
                    let known = "a service moves from its files to PostgreSQL, whose address begins with `postgres://`";
                    Err(NotBuiltIn::Scheme { key: key(), scheme: scheme.to_owned(), known }.into())
                }
            }
        })
    }
}

/// What stands before `://`; the configuration has looked that something does.
fn scheme(url: &str) -> &str {
    url.split_once("://").map_or("", |(scheme, _)| scheme)
}

fn sqlite(config: &Config) -> Arc<dyn Stores> {
    let options = Options {
        transaction_limit: config.transaction_within,
        retention: config.log_kept,
        // A port that the system is to choose tells nobody where this process is.
        address: Some(config.listen).filter(|listen| listen.port() != 0).map(|listen| listen.to_string()),
        ..Options::default()
    };
    Arc::new(Sqlite::new(&config.data, options))
}
