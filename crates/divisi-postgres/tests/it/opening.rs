//! What is said when a database cannot be opened, and what is done when it can.

use std::time::Duration;

use divisi_postgres::{Options, Postgres, Urls, provision};
use divisi_servers::postgres::{Replication, Settings};
use divisi_store::conformance::account::{TABLES, deposit, is_consistent, schema};
use divisi_store::{Migration, OpenError, Schema, StoreName, Stores};

use crate::fixture::{Databases, databases, options};

/// What is said of an address that cannot be opened: the error and all its causes.
async fn said(url: &str, options: Options) -> String {
    let stores = Postgres::new(Urls::none().with("bank", url), options);
    let error =
        stores.open(&StoreName::of("bank"), &schema()).await.map(drop).expect_err("it cannot be opened");
    let mut said = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said
}

fn holds(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "`{word}` in: {said}");
    }
    assert!(
        !said.contains("hunter2") && !said.contains("postgres:"),
        "no password, no address as it was given: {said}"
    );
}

#[tokio::test]
async fn what_is_wrong_is_named_with_what_to_do_and_without_a_password() {
    let databases = databases().await;
    let server = &databases.server;
    let at = server.address();
    let place = format!("{at}");
    // Nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
    let nobody = said(&format!("postgres://u:hunter2@{free}/bank"), options()).await;
    holds(&nobody, &["nobody answers", "start the server", &free.to_string()]);
    // A wrong password, and a role that is not there.
    let role = "DO $$ BEGIN CREATE ROLE plain LOGIN PASSWORD 'right'; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
    server.sql(role).await.expect("a role");
    let password = said(&format!("postgres://plain:hunter2@{at}/postgres"), options()).await;
    holds(&password, &["refuses the name or the password", &place]);
    let nobody = said(&format!("postgres://nobody:hunter2@{at}/postgres"), options()).await;
    holds(&nobody, &["refuses the name or the password"]);
    // No such database, and it may not be made.
    let strict = Options { create_databases: false, ..options() };
    let missing = said(&databases.url("nowhere"), strict).await;
    holds(&missing, &["no such database", "create_databases", &databases.database("nowhere")]);
    let not_allowed = said(&server.url_for("plain", "right", "not_there"), options()).await;
    holds(&not_allowed, &["the role may not do what is needed", "not_there"]);
    // A database in which the role may make nothing.
    let not_owned = said(&server.url_for("plain", "right", "postgres"), options()).await;
    holds(&not_owned, &["must own its database"]);
    // No address at all.
    let none = Postgres::new(Urls::none(), options()).open(&StoreName::of("bank"), &schema()).await;
    holds(&none.map(drop).expect_err("no address").to_string(), &["no URL", "`bank`"]);
}

#[tokio::test]
async fn a_role_that_owns_its_database_needs_no_more() {
    let databases = databases().await;
    let server = &databases.server;
    server
        .sql("CREATE ROLE owner_of_bank LOGIN PASSWORD 'secret' NOSUPERUSER NOCREATEDB")
        .await
        .expect("a role");
    server.sql("CREATE DATABASE bank_of_owner OWNER owner_of_bank").await.expect("a database");
    let url = server.url_for("owner_of_bank", "secret", "bank_of_owner");
    let stores = Postgres::new(Urls::none().with("bank", url), Options::default());
    let store = stores.open(&StoreName::of("bank"), &schema()).await.expect("it opens");
    deposit(&store, "a", 1).await.expect("it commits");
    is_consistent(&store).await;
    let projection = StoreName::projection("bank", "totals", 1);
    let totals = stores.open(&projection, &Schema::default()).await.expect("it may make schemas");
    totals.close().await;
    stores.remove(&projection).await.expect("and remove them");
}

#[tokio::test]
async fn a_standby_is_refused_by_name() {
    let server = Settings::new().conf("fsync = off").start().await.expect("PostgreSQL starts");
    let primary = Databases::on(server);
    primary.bank().await.0.close().await;
    let standby = primary.server.standby(Replication::Asynchronous).await.expect("it follows");
    let port = |server: &divisi_servers::Postgres| format!(":{}/", server.address().port());
    let url = primary.url("bank").replace(&port(&primary.server), &port(&standby));
    holds(&said(&url, options()).await, &["standby", "primary's address"]);
}

/// Each version of a projection has a schema of its own, in which its statements find its tables and no others.
#[tokio::test]
async fn versions_of_a_projection_live_beside_each_other_in_schemas() {
    let databases = databases().await;
    let stores = databases.stores();
    let schema = |sql| Schema { migrations: vec![Migration::new(1, "totals", sql)], ..Schema::default() };
    let (first, second) =
        (StoreName::projection("bank", "totals", 1), StoreName::projection("bank", "totals", 2));
    let (own, _) = databases.bank().await;
    assert!(!stores.exists(&first).await.expect("a look"));
    let v1 = stores
        .open(&first, &schema("CREATE TABLE total (n BIGINT); INSERT INTO total VALUES (1)"))
        .await
        .expect("it opens");
    let v2 = stores
        .open(&second, &schema("CREATE TABLE total (n BIGINT); INSERT INTO total VALUES (2)"))
        .await
        .expect("it opens");
    for (store, expected) in [(&v1, 1), (&v2, 2)] {
        let found: Result<(i64,), divisi_store::StoreError> = store
            .read(async |read: &mut divisi_store::Read| read.query_one("SELECT n FROM total", &[]).await)
            .await;
        assert_eq!(found.expect("its own table").0, expected);
        let others: Result<Vec<(i64,)>, divisi_store::StoreError> = store
            .read(async |read: &mut divisi_store::Read| read.query("SELECT balance FROM account", &[]).await)
            .await;
        assert!(others.is_err(), "the service's own tables are not in it");
    }
    assert!(stores.exists(&first).await.expect("a look"));
    v1.close().await;
    stores.remove(&first).await.expect("it is removed");
    assert!(!stores.exists(&first).await.expect("a look") && stores.exists(&second).await.expect("a look"));
    stores.remove(&first).await.expect("removing it again is fine");
    assert!(
        stores.remove(&StoreName::of("bank")).await.is_err(),
        "a service's own store is not removed like that"
    );
    deposit(&own, "a", 1).await.expect("it is untouched");
    v2.close().await;
}

#[tokio::test]
async fn another_services_database_is_refused() {
    let databases = databases().await;
    let url = databases.url("bank");
    let urls = Urls::none().with("bank", &*url).with("shop", &*url);
    let stores = Postgres::new(urls, options());
    stores.open(&StoreName::of("bank"), &schema()).await.expect("it opens").close().await;
    let refused = stores.open(&StoreName::of("shop"), &schema()).await.map(drop).expect_err("it is bank's");
    assert!(
        matches!(&refused, OpenError::Foreign { found, expected, .. } if found == "bank" && expected == "shop"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_migration_may_have_other_words_here_and_does_not_end_its_transaction() {
    let databases = databases().await;
    let stores = databases.stores();
    let name = StoreName::of("bank");
    let with = |second: Migration| Schema { migrations: vec![TABLES, second], ..schema() };
    let ending =
        Migration::new(2, "ends", "CREATE TABLE half (id BIGINT); COMMIT; CREATE TABLE other (id BIGINT)");
    let refused = stores.open(&name, &with(ending)).await.map(drop).expect_err("it ends its transaction");
    assert!(matches!(refused, OpenError::Migration { version: 2, .. }), "{refused:?}");
    let own = Migration::new(2, "notes", "CREATE TABLE note (id INTEGER PRIMARY KEY) STRICT")
        .postgres("CREATE TABLE note (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY)");
    let store = stores.open(&name, &with(own)).await.expect("it opens");
    store.close().await;
    let changed =
        Migration::new(2, "notes", "CREATE TABLE note (id INTEGER PRIMARY KEY) STRICT").postgres("SELECT 1");
    let refused = stores.open(&name, &with(changed)).await.map(drop).expect_err("it has other words now");
    assert!(matches!(refused, OpenError::Changed { version: 2, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_store_waits_for_what_is_open_when_it_closes() {
    let (store, _) = databases().await.bank().await;
    let session = store.backend().begin(divisi_store::Class::Call).await.expect("a transaction");
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    // Whoever comes now is refused or waits; the transaction that is open ends well.
    tokio::task::yield_now().await;
    session.commit(Vec::new()).await.expect("it commits");
    tokio::time::timeout(Duration::from_secs(10), closing).await.expect("in time").expect("no panic");
    let refused = deposit(&store, "a", 1).await.expect_err("it is closed");
    assert!(refused.to_string().contains("closed"), "{refused}");
}

/// Each service has a role and a database, and cannot open another's; making them twice is fine.
#[tokio::test]
async fn a_service_can_open_its_own_database_and_no_other() {
    let databases = databases().await;
    let server = &databases.server;
    let password = "it's \\ \"odd\"";
    for service in ["stock-keeping", "billing"] {
        for password in ["first", password] {
            provision(&server.url(), &service.into(), password, &Options::default())
                .await
                .expect("it is made");
        }
    }
    let encoded = "it%27s%20%5C%20%22odd%22";
    let at = server.address();
    let url = |service: &str, database: &str| format!("postgres://{service}:{encoded}@{at}/{database}");
    let own = Urls::none().with("billing", url("billing", "billing"));
    let own = Postgres::new(own, Options::default()).open(&StoreName::of("billing"), &schema()).await;
    deposit(&own.expect("its own database opens"), "a", 1).await.expect("it commits");
    for database in ["stock-keeping", "billing"] {
        let other = if database == "billing" { "stock-keeping" } else { "billing" };
        let refused = said(&url(other, database), Options::default()).await;
        assert!(refused.contains("permission denied"), "{other} in {database}: {refused}");
    }
}
