//! Connecting, and what every session is set to.

use std::time::Duration;

use deadpool_postgres::{Client, Connect, Manager, ManagerConfig, Pool, RecyclingMethod, Timeouts};
use divisi_store::{BoxFuture, OpenError};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, NoTlsStream};
use tokio_postgres::{Client as Session, Config, Connection, Error, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{open_error, store_error};
use crate::options::Options;
use crate::place::{Place, quoted, refused};

/// The oldest server that is accepted.
pub(crate) const VERSION_MIN: i64 = 150_000;

/// How to connect: the address, TLS where it is asked for, and what the session is set to.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) config: Config,
    pub(crate) schema: String,
    tls: Option<MakeRustlsConnect>,
    settings: String,
}

/// A session's own end: what it hears from the server besides answers.
pub(crate) enum Wire {
    Plain(Box<Connection<Socket, NoTlsStream>>),
    Tls(Box<Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>>),
}

impl Connector {
    /// How to connect to `place`.
    pub(crate) fn new(place: &Place, options: &Options) -> Result<Connector, OpenError> {
        let tls = match place.config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(crate::tls::connector(options)?),
        };
        let (config, schema) = (place.config.clone(), place.schema.clone());
        Ok(Connector { config, schema, tls, settings: settings(place, options) })
    }

    /// Connects, before anything is set.
    pub(crate) async fn connect_bare(&self, config: &Config) -> Result<(Session, Wire), Error> {
        match &self.tls {
            None => {
                let (session, wire) = config.connect(NoTls).await?;
                Ok((session, Wire::Plain(Box::new(wire))))
            }
            Some(tls) => {
                let (session, wire) = config.connect(tls.clone()).await?;
                Ok((session, Wire::Tls(Box::new(wire))))
            }
        }
    }

    /// Sets what every session of a store has.
    pub(crate) async fn set(&self, session: &Session) -> Result<(), Error> {
        session.batch_execute(&self.settings).await
    }
}

impl Connect for Connector {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Session, JoinHandle<()>), Error>> {
        let config = config.clone();
        Box::pin(async move {
            let (session, wire) = self.connect_bare(&config).await?;
            // Aborted by the pool, which owns it, when the connection is thrown away.
            let driver = tokio::spawn(async move {
                let ended = match wire {
                    Wire::Plain(wire) => (*wire).await,
                    Wire::Tls(wire) => (*wire).await,
                };
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "a connection to the database has ended");
                }
            });
            match self.set(&session).await {
                Ok(()) => Ok((session, driver)),
                Err(error) => {
                    driver.abort();
                    Err(error)
                }
            }
        })
    }
}

/// Opens the pool of a store. Nothing is connected yet.
pub(crate) fn pool(place: &Place, connector: &Connector, options: &Options) -> Result<Pool, OpenError> {
    // Whoever gives a connection back has ended its transaction or thrown it away, so there is nothing to recycle.
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_connect(place.config.clone(), connector.clone(), recycling);
    let wait = Some(options.connect_timeout.saturating_add(options.statement_timeout));
    Pool::builder(manager)
        .max_size(options.connections_max.max(2))
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .timeouts(Timeouts { wait, create: wait, recycle: wait })
        .build()
        .map_err(|error| refused(&place.what, &format!("its pool cannot be made: {error}")))
}

/// Looks whether the server is one that a store can live on.
pub(crate) async fn check_server(client: &Client, what: &str) -> Result<(), OpenError> {
    let sql = "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), pg_is_in_recovery(), \
               current_setting('server_encoding')";
    let row = client.query_one(sql, &[]).await.map_err(|error| open_error(what, store_error(error)))?;
    let column = |error| open_error(what, store_error(error));
    let (number, version): (i64, String) = (row.try_get(0).map_err(column)?, row.try_get(1).map_err(column)?);
    let (standby, encoding): (bool, String) =
        (row.try_get(2).map_err(column)?, row.try_get(3).map_err(column)?);
    if number < VERSION_MIN {
        return Err(refused(what, &format!("its server is PostgreSQL {version}; at least 15 is needed")));
    }
    if standby {
        return Err(refused(
            what,
            "its server is a standby, where nothing can be written; give the primary's address",
        ));
    }
    if encoding != "UTF8" {
        return Err(refused(what, &format!("its encoding is {encoding}; make it with ENCODING 'UTF8'")));
    }
    Ok(())
}

/// Does something on a connection of its own, in another database of the same server if one is named.
pub(crate) async fn apart<T>(
    connector: &Connector,
    database: Option<&str>,
    body: impl AsyncFnOnce(&Session) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut config = connector.config.clone();
    if let Some(database) = database {
        config.dbname(database);
    }
    let (session, wire) = connector.connect_bare(&config).await?;
    let driven = async {
        match wire {
            Wire::Plain(wire) => (*wire).await,
            Wire::Tls(wire) => (*wire).await,
        }
    };
    let done = async move {
        let done = body(&session).await;
        // Only without its client does the connection end.
        drop(session);
        done
    };
    tokio::join!(driven, done).1
}

/// Makes the database, from the database `postgres` of the same server.
pub(crate) async fn create_database(connector: &Connector, place: &Place) -> Result<(), OpenError> {
    let sql = format!("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0", quoted(place.database()));
    match apart(connector, Some("postgres"), async |session| session.batch_execute(&sql).await).await {
        // Another instance was first.
        Err(error) if error.as_db_error().is_some_and(|db| matches!(db.code().code(), "42P04" | "23505")) => {
            Ok(())
        }
        made => made.map_err(|error| open_error(&place.what, store_error(error))),
    }
}

fn settings(place: &Place, options: &Options) -> String {
    let millis = |limit: Duration| limit.as_millis().max(1);
    format!(
        "SET search_path TO {schema}; \
         SET statement_timeout TO {statement}; SET lock_timeout TO {lock}; \
         SET idle_in_transaction_session_timeout TO {idle}; \
         SET default_transaction_isolation TO 'read committed'; SET timezone TO 'UTC'; \
         SET bytea_output TO 'hex'; SET client_min_messages TO warning; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
         DO $$ BEGIN PERFORM set_config('client_connection_check_interval', '500ms', false); \
         EXCEPTION WHEN OTHERS THEN NULL; END $$",
        schema = place.schema,
        statement = millis(options.statement_timeout),
        lock = millis(options.lock_timeout),
        idle = millis(options.idle_in_transaction_timeout),
    )
}
