//! What the tests share: one server, and a name of its own for each database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use divisi_postgres::{Options, Postgres, PostgresStore, Urls};
use divisi_servers::postgres::Settings;
use divisi_store::conformance::account;
use divisi_store::{Store, StoreName};
use tokio::sync::OnceCell;

use crate::proxy::Proxy;

/// Databases on a server.
pub(crate) struct Databases {
    pub(crate) server: divisi_servers::Postgres,
    prefix: String,
}

/// A server that the test may kill.
pub(crate) async fn server_of_its_own() -> Databases {
    let server = Settings::new().conf("fsync = off").start().await.expect("PostgreSQL starts");
    Databases::on(server)
}

/// Databases on the one server that all tests share. It ends with this process.
pub(crate) async fn databases() -> Databases {
    static SERVER: OnceCell<divisi_servers::Postgres> = OnceCell::const_new();
    // What a power cut would take is not looked at here.
    let start = || Settings::new().conf("fsync = off").conf("max_connections = 400").start();
    let server = SERVER.get_or_try_init(start).await.expect("PostgreSQL starts");
    Databases::on(server.clone())
}

impl Databases {
    /// Databases on a server of the test's own.
    pub(crate) fn on(server: divisi_servers::Postgres) -> Databases {
        static N: AtomicU32 = AtomicU32::new(1);
        Databases { server, prefix: format!("t{}", N.fetch_add(1, Ordering::Relaxed)) }
    }

    /// The address of a service's database.
    pub(crate) fn url(&self, service: &str) -> String {
        let url = self.server.url();
        let (server, _) = url.rsplit_once('/').expect("an address ends with a database");
        format!("{server}/{}_{service}", self.prefix)
    }

    /// The same behind a proxy.
    pub(crate) fn url_behind(&self, proxy: &Proxy, service: &str) -> String {
        let direct = self.server.address().port();
        self.url(service).replace(&format!(":{direct}/"), &format!(":{}/", proxy.port))
    }

    /// The name of a service's database.
    pub(crate) fn database(&self, service: &str) -> String {
        format!("{}_{service}", self.prefix)
    }

    pub(crate) fn stores(&self) -> Postgres {
        self.stores_with(options())
    }

    pub(crate) fn stores_with(&self, options: Options) -> Postgres {
        Postgres::new(Urls::from_template(self.url("{service}")), options)
    }

    /// A store with the accounts of the suite.
    pub(crate) async fn bank(&self) -> (Store, Arc<PostgresStore>) {
        self.bank_with(options()).await
    }

    pub(crate) async fn bank_with(&self, options: Options) -> (Store, Arc<PostgresStore>) {
        self.stores_with(options)
            .open_store(&StoreName::of("bank"), &account::schema())
            .await
            .expect("a store opens")
    }
}

pub(crate) fn options() -> Options {
    Options { create_databases: true, ..Options::default() }
}

/// Looks until what is found is as wanted; says what it saw last if it never is.
pub(crate) async fn eventually<T: std::fmt::Debug>(
    what: &str,
    look: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    eventually_within(Duration::from_secs(20), what, look, wanted).await
}

/// The same with a patience of its own.
pub(crate) async fn eventually_within<T: std::fmt::Debug>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let until = tokio::time::Instant::now() + patience;
    loop {
        let found = look().await;
        if wanted(&found) {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "{what}: not within {patience:?}; last seen {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
