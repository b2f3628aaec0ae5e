//! Values and PostgreSQL's own types.

use divisi_contract::CallError;
use divisi_store::conformance::account::cx;
use divisi_store::{Read, Row, Store, StoreError, StoreErrorKind, Tx, Value, ValueRef, params};

use crate::fixture::databases;

async fn ask(store: &Store, sql: &str, params: &[ValueRef<'_>]) -> Result<Row, StoreError> {
    store.read(async |read: &mut Read| read.query_one(sql, params).await).await
}

#[tokio::test]
async fn every_usual_type_takes_a_value_and_gives_it_back() {
    let (store, _) = databases().await.bank().await;
    let micros = 1_700_000_000_123_456_i64;
    let uuid = "0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f506";
    let made: Result<(), CallError> = store
        .transact(&cx(), async |tx: &mut Tx| {
            tx.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')", &[]).await?;
            tx.execute("CREATE DOMAIN positive AS int CHECK (VALUE > 0)", &[]).await?;
            let sql = "CREATE TABLE v (a smallint, b int, c bigint, d boolean, e real, f double precision, g varchar(9), \
                       h char(3), i uuid, j json, k jsonb, l timestamptz, m timestamp, n bytea, o mood, p positive, q text)";
            tx.execute(sql, &[]).await?;
            let sql = "INSERT INTO v VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17)";
            let bytes: &[u8] = &[0, 1, 255];
            let values = params![
                -7, 8, i64::MAX, true, 0.5, 0.1, "varchar", "abc", uuid, "{\"a\": 1}", "{\"b\": 2}", micros, micros, bytes,
                "glad", 3, None::<String>
            ];
            tx.execute(sql, values).await?;
            Ok(())
        })
        .await;
    made.expect("it commits");
    let found = ask(&store, "SELECT * FROM v", &[]).await.expect("a row");
    let text = |text: &str| Value::Text(text.to_owned());
    let expected = Row::new(vec![
        Value::Integer(-7),
        Value::Integer(8),
        Value::Integer(i64::MAX),
        Value::Integer(1),
        Value::Real(0.5),
        Value::Real(0.1),
        text("varchar"),
        text("abc"),
        text(uuid),
        text("{\"a\": 1}"),
        text("{\"b\": 2}"),
        Value::Integer(micros),
        Value::Integer(micros),
        Value::Blob(vec![0, 1, 255]),
        text("glad"),
        Value::Integer(3),
        Value::Null,
    ]);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_and_never_a_panic() {
    let (store, _) = databases().await.bank().await;
    let cases: [(&str, &[ValueRef<'_>]); 10] = [
        ("SELECT $1::int", params![i64::MAX]),
        ("SELECT $1::boolean", params![2]),
        ("SELECT $1::uuid", params!["not a uuid"]),
        ("SELECT $1::bytea", params!["text"]),
        ("SELECT $1::bigint", params!["text"]),
        ("SELECT $1::text", params![7]),
        ("SELECT $1::date", params![7]),
        ("SELECT sum(balance) + 0.5 FROM (VALUES (1::bigint)) AS v (balance)", params![]),
        ("SELECT now()::date", params![]),
        ("SELECT ARRAY[1]", params![]),
    ];
    for (sql, params) in cases {
        let error = ask(&store, sql, params).await.expect_err(sql);
        assert_eq!(error.kind, StoreErrorKind::Type, "{sql}: {error:?}");
    }
    let cases: [(&str, &[ValueRef<'_>]); 4] = [
        ("SELECT $1::bigint", params![]),
        ("SELECT $1::bigint", params![1, 2]),
        ("SELECT 1", params![1]),
        ("SELECT nonsense", params![]),
    ];
    for (sql, params) in cases {
        let error = ask(&store, sql, params).await.expect_err(sql);
        assert_eq!(error.kind, StoreErrorKind::Statement, "{sql}: {error:?}");
    }
    assert_eq!(
        ask(&store, "SELECT 1", &[]).await.expect("the store goes on"),
        Row::new(vec![Value::Integer(1)])
    );
}

/// A table that gets another shape while statements of it are prepared: the next try works.
#[tokio::test]
async fn a_statement_prepared_before_its_table_changed_is_prepared_anew() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    let look = async || ask(&store, "SELECT * FROM account", &[]).await;
    let insert = "INSERT INTO account (id, balance) VALUES ('a', 1)";
    databases.server.sql_in(&databases.database("bank"), insert).await.expect("a row");
    assert_eq!(look().await.expect("a row").len(), 2);
    let alter = "ALTER TABLE account ADD COLUMN note text";
    databases.server.sql_in(&databases.database("bank"), alter).await.expect("a column more");
    let stale = look().await.expect_err("its plan is of the table before");
    assert!(stale.is_transient(), "it may be tried again: {stale:?}");
    assert_eq!(look().await.expect("a row").len(), 3);
}
