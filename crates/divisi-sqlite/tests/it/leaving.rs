//! A database that leaves for another engine: who has it, what of it is read, and the mark that it leaves behind.

use divisi_sqlite::{Leaving, Options, Sqlite};
use divisi_store::conformance::account::{TABLES, deposit, schema};
use divisi_store::origin::Table;
use divisi_store::{Migration, OpenError, Origin, Row, Schema, StoreName, Stores, Value};

fn bank() -> StoreName {
    StoreName::of("bank")
}

/// The accounts, and whatever `more` makes.
fn with(more: &'static str) -> Schema {
    Schema { migrations: vec![TABLES, Migration::new(2, "more", more)], ..schema() }
}

fn table<'a>(leaving: &'a Leaving, name: &str) -> &'a Table {
    leaving.tables().iter().find(|table| table.name == name).unwrap_or_else(|| panic!("there is no `{name}`"))
}

async fn rows(leaving: &Leaving, name: &str) -> Vec<Row> {
    let (mut batches, mut rows) = (leaving.rows(table(leaving, name)), Vec::new());
    while let Some(batch) = batches.recv().await {
        rows.extend(batch.expect("it can be read"));
    }
    rows
}

#[tokio::test]
async fn rows_come_in_the_order_in_which_they_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let stores = Sqlite::new(dir.path(), Options::default());
    let schema = with(
        "CREATE TABLE keyed (b TEXT, a INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID; \
         INSERT INTO keyed VALUES ('y', 2), ('x', 2), ('z', 1); \
         CREATE TABLE numbered (rowid TEXT); INSERT INTO numbered VALUES ('c'), ('a'), ('b'); CREATE INDEX i ON numbered (rowid); \
         CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, twice INTEGER GENERATED ALWAYS AS (id * 2)); \
         INSERT INTO counted VALUES (NULL), (NULL), (NULL); DELETE FROM counted WHERE id > 1; \
         CREATE VIRTUAL TABLE words USING fts5(word); INSERT INTO words VALUES ('hello'); \
         CREATE VIEW seen AS SELECT * FROM keyed",
    );
    stores.open(&bank(), &schema).await.expect("it opens").close().await;
    let leaving = stores.leave(&bank()).await.expect("nobody has it");
    leaving.has_shape(&schema).expect("it is as the program knows it");
    let text = |text: &str| Value::Text(text.to_owned());
    let keyed = [("z", 1), ("x", 2), ("y", 2)].map(|(b, a)| Row::new(vec![text(b), Value::Integer(a)]));
    assert_eq!(rows(&leaving, "keyed").await, keyed);
    assert_eq!(leaving.row_name(table(&leaving, "keyed"), 2).await, "a = 2, b = 'x'");
    let numbered = ["c", "a", "b"].map(|it| Row::new(vec![text(it)]));
    assert_eq!(rows(&leaving, "numbered").await, numbered, "an index is no order");
    assert_eq!(leaving.row_name(table(&leaving, "numbered"), 3).await, "_rowid_ = 3");
    assert_eq!(leaving.row_name(table(&leaving, "numbered"), 4).await, "row 4", "there is none");
    let counted = table(&leaving, "counted");
    assert_eq!((&*counted.columns, counted.rows, counted.last_number), (&["id".to_owned()][..], 1, Some(3)));
    assert!(table(&leaving, "words").is_index && !counted.is_index);
    let names: Vec<&str> = leaving.tables().iter().map(|table| &*table.name).collect();
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("words_") || name.starts_with("sqlite_") || *name == "seen"),
        "{names:?}"
    );
}

#[tokio::test]
async fn a_large_table_comes_in_parts_and_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let stores = Sqlite::new(dir.path(), Options::default());
    let many = "CREATE TABLE many (id INTEGER PRIMARY KEY, x BLOB); \
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO many SELECT i, zeroblob(2000) FROM n";
    stores.open(&bank(), &with(many)).await.expect("it opens").close().await;
    let leaving = stores.leave(&bank()).await.expect("nobody has it");
    let (mut batches, mut next) = (leaving.rows(table(&leaving, "many")), 1);
    while let Some(batch) = batches.recv().await {
        let batch = batch.expect("it can be read");
        assert!(batch.len() <= 600, "{} rows of 2 kB at once", batch.len());
        for row in batch {
            assert_eq!(row.into_values().first(), Some(&Value::Integer(next)));
            next += 1;
        }
    }
    assert_eq!(next, 3_001);
}

#[tokio::test]
async fn while_it_leaves_nobody_opens_it_and_when_it_has_left_nobody_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let stores = Sqlite::new(dir.path(), Options::default());
    let none = stores.leave(&bank()).await.expect_err("it was never there");
    assert!(matches!(none, OpenError::Place { .. }), "{none:?}");
    let store = stores.open(&bank(), &schema()).await.expect("it opens");
    deposit(&store, "a", 1).await.expect("it commits");
    let taken = stores.leave(&bank()).await.expect_err("somebody has it");
    assert!(matches!(taken, OpenError::InUse { .. }), "{taken:?}");
    store.close().await;

    let leaving = stores.leave(&bank()).await.expect("nobody has it");
    let taken = stores.open(&bank(), &schema()).await.map(drop).expect_err("it is leaving");
    assert!(matches!(taken, OpenError::InUse { .. }), "{taken:?}");
    let epoch = leaving.epoch();
    leaving.has_moved("database `bank` at db:5432").expect("a mark");
    drop(leaving);
    let moved = stores.open(&bank(), &schema()).await.map(drop).expect_err("it has moved");
    assert!(
        matches!(&moved, OpenError::Moved { to, service, .. } if to == "database `bank` at db:5432" && service == "bank"),
        "{moved:?}"
    );

    let leaving = stores.leave(&bank()).await.expect("it can be looked at");
    assert_eq!(leaving.epoch(), epoch, "whoever was refused has changed nothing");
    assert_eq!(leaving.moved_to().expect("a mark").as_deref(), Some("database `bank` at db:5432"));
    leaving.has_come_back().expect("the mark goes");
    leaving.has_come_back().expect("once more is fine");
    drop(leaving);
    let store = stores.open(&bank(), &schema()).await.expect("it opens again");
    deposit(&store, "a", 1).await.expect("it commits");
}

/// An empty mark is one still, as a full disk may leave it: rather no start than two.
#[tokio::test]
async fn a_mark_that_says_nothing_is_a_mark() {
    let dir = tempfile::tempdir().expect("a directory");
    let stores = Sqlite::new(dir.path(), Options::default());
    stores.open(&bank(), &schema()).await.expect("it opens").close().await;
    std::fs::write(dir.path().join("bank.moved"), "").expect("a file");
    let moved = stores.open(&bank(), &schema()).await.map(drop).expect_err("it has moved");
    assert!(matches!(moved, OpenError::Moved { .. }), "{moved:?}");
}

#[tokio::test]
async fn a_file_of_another_shape_is_told_from_one_that_fits() {
    let dir = tempfile::tempdir().expect("a directory");
    let stores = Sqlite::new(dir.path(), Options::default());
    let (first, second) = (with("CREATE TABLE t (x)"), with("CREATE TABLE t (y)"));
    stores.open(&bank(), &schema()).await.expect("it opens").close().await;
    let leaving = stores.leave(&bank()).await.expect("nobody has it");
    let older = leaving.has_shape(&first).expect_err("a migration is missing");
    assert!(
        matches!(&older, OpenError::Other { source, .. } if source.to_string().contains("migration 1 of 2")),
        "{older:?}"
    );
    drop(leaving);
    stores.open(&bank(), &first).await.expect("it opens").close().await;
    let leaving = stores.leave(&bank()).await.expect("nobody has it");
    leaving.has_shape(&first).expect("it fits");
    assert!(matches!(leaving.has_shape(&second), Err(OpenError::Changed { version: 2, .. })));
    assert!(matches!(leaving.has_shape(&schema()), Err(OpenError::Newer { found: 2, known: 1, .. })));
}
