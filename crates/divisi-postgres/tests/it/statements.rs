//! Every shared statement is one that PostgreSQL understands.

use divisi_store::{Class, Read, Row, StoreError, Tx, ValueRef, inbox, lease, parked, projection};

use crate::fixture::databases;

#[tokio::test]
async fn every_shared_statement_is_understood() {
    let (store, _) = databases().await.bank().await;
    let locked = [inbox::READ_LOCKED, inbox::LOOK_LOCKED];
    let all = inbox::STATEMENTS
        .iter()
        .chain(parked::STATEMENTS)
        .chain(&projection::STATEMENTS)
        .chain(&lease::STATEMENTS)
        .chain(&locked);
    for sql in all {
        let n_params = (1..=20).rev().find(|n| sql.contains(&format!("${n}"))).unwrap_or(0);
        let params = vec![ValueRef::Null; n_params];
        let explained = store
            .run(Class::Call, async |tx: &mut Tx| {
                tx.query::<Row>(&format!("EXPLAIN {sql}"), &params).await.map(|rows| rows.len())
            })
            .await;
        let (n_rows, _) = explained.unwrap_or_else(|failed| panic!("{sql}: {failed:?}"));
        assert!(n_rows > 0, "{sql}");
    }
    let wrong: Result<Vec<Row>, StoreError> = store
        .read(async |read: &mut Read| {
            read.query("EXPLAIN SELECT no_such_column FROM divisi_watermark", &[]).await
        })
        .await;
    assert!(wrong.is_err(), "so that the test can fail");
}
