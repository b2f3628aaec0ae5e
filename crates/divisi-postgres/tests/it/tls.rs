//! TLS: the server's certificate is looked at, always.

use std::path::PathBuf;

use divisi_postgres::{Options, Postgres, Urls};
use divisi_servers::postgres::Settings;
use divisi_store::conformance::account::{deposit, schema};
use divisi_store::{OpenError, Read, Store, StoreError, StoreName, Stores};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::fixture::{Databases, options};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A server for `name`, whose certificate `authority` has signed; and the authority's certificate in a file.
async fn server(authority: &Authority, name: &str, directory: &tempfile::TempDir) -> (Databases, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let server = Settings::new()
        .conf("fsync = off")
        .conf("ssl = on")
        .conf("ssl_cert_file = '../server.crt'")
        .conf("ssl_key_file = '../server.key'")
        .file("server.crt", certificate.pem())
        .file("server.key", key.serialize_pem())
        .start()
        .await
        .expect("PostgreSQL starts with TLS");
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, authority.pem()).expect("a file");
    (Databases::on(server), roots)
}

async fn open(databases: &Databases, query: &str, roots: Option<PathBuf>) -> Result<Store, OpenError> {
    let url = format!("{}?{query}", databases.url("bank"));
    let options = Options { root_certificates: roots, ..options() };
    Postgres::new(Urls::none().with("bank", url), options).open(&StoreName::of("bank"), &schema()).await
}

async fn is_encrypted(store: &Store) -> bool {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let row: Result<(bool,), StoreError> =
        store.read(async |read: &mut Read| read.query_one(sql, &[]).await).await;
    row.expect("the server says").0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_trusted_is_asked_for_by_require() {
    let directory = tempfile::tempdir().expect("a directory");
    let (databases, roots) = server(&authority(), "127.0.0.1", &directory).await;
    let store = open(&databases, "sslmode=require", Some(roots.clone())).await.expect("it opens");
    deposit(&store, "a", 1).await.expect("it commits");
    assert!(is_encrypted(&store).await);
    let plain =
        open(&databases, "sslmode=disable", None).await.expect("it opens, on a network that is trusted");
    assert!(!is_encrypted(&plain).await);
    // Whoever signed it is not one that is trusted.
    let other = directory.path().join("other.pem");
    std::fs::write(&other, authority().pem()).expect("a file");
    for roots in [Some(other), None] {
        let refused = open(&databases, "sslmode=require", roots).await.map(drop).expect_err("not trusted");
        assert!(refused.to_string().contains("root_certificates"), "{refused}");
    }
    let unreadable = open(&databases, "sslmode=require", Some(directory.path().join("nowhere.pem"))).await;
    assert!(unreadable.map(drop).expect_err("no such file").to_string().contains("nowhere.pem"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_server_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let (databases, roots) = server(&authority(), "elsewhere.internal", &directory).await;
    let refused = open(&databases, "sslmode=require", Some(roots)).await.map(drop).expect_err("another name");
    assert!(refused.to_string().contains("certificate"), "{refused}");
}
