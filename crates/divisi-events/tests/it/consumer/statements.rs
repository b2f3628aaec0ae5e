//! Every shared statement of inbox and parked keys is one that the database understands.

use divisi_store::{Class, Row, Tx, ValueRef, inbox, parked};

use super::pair::Pair;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_is_understood() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = Pair::open(dir.path()).await;
    for sql in inbox::STATEMENTS.iter().chain(parked::STATEMENTS) {
        let n_params = (1..=20).rev().find(|n| sql.contains(&format!("${n}"))).unwrap_or(0);
        let params = vec![ValueRef::Null; n_params];
        let explained = pair.ledger.run(Class::Call, async |tx: &mut Tx| {
            tx.query::<Row>(&format!("EXPLAIN {sql}"), &params).await.map(|rows| rows.len())
        });
        let (n_rows, _) = explained.await.unwrap_or_else(|failed| panic!("{sql}: {failed:?}"));
        assert!(n_rows > 0, "{sql}");
    }
    // So that the test can fail.
    let wrong = pair.ledger.run(Class::Call, async |tx: &mut Tx| {
        tx.query::<Row>("EXPLAIN SELECT no_such_column FROM divisi_watermark", &[]).await.map(drop)
    });
    assert!(wrong.await.is_err());
}
