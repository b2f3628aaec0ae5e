//! A database that comes from another engine: what arrives, what is in the way, and when a service may start on it.

use divisi_postgres::{Arrival, ImportError, Part, Postgres};
use divisi_store::conformance::account::{TABLES, deposit, everything, schema};
use divisi_store::origin::Table;
use divisi_store::{
    BoxFuture, Epoch, Lane, Migration, OpenError, Origin, Pos, Read, Row, Schema, Store, StoreError,
    StoreName, Stores, Value,
};
use tokio::sync::mpsc;

use crate::fixture::{Databases, databases};

/// A database that was written down: it can hold what no engine would.
struct Written {
    identity: &'static str,
    tables: Vec<Table>,
    rows: Vec<Vec<Row>>,
}

impl Written {
    /// A service that has announced three events in lane 7, of which the first is forgotten.
    fn bank() -> Written {
        let mut it = Written { identity: "0123", tables: Vec::new(), rows: Vec::new() };
        it.add("divisi_meta", "one source epoch db_identity", [[n(1), text("bank"), n(9), text("0123")]]);
        it.add("divisi_epoch", "epoch began_at", [[n(5), n(1)], [n(9), n(2)]]);
        it.add("divisi_topic", "topic lanes", [[text("accounts"), n(64)]]);
        let lane = |lane| [text("accounts"), n(lane), n(i64::from(lane == 7))];
        it.add("divisi_lane", "topic lane floor_pos", (0..64).map(lane));
        let fork = |lane| [text("accounts"), n(lane), n(9), n(if lane == 7 { 2 } else { 0 })];
        it.add("divisi_fork", "topic lane epoch fork", (0..64).map(fork));
        let event = |pos| {
            let payload = Value::Blob(format!("{{\"account\":\"a\",\"balance\":{pos}}}").into_bytes());
            [
                text("accounts"),
                n(7),
                n(pos),
                n(9),
                text("Moved"),
                n(1),
                text("a"),
                text("{}"),
                payload,
                n(pos),
            ]
        };
        let columns = "topic lane pos epoch type schema_v key headers payload at";
        it.add("divisi_outbox", columns, (2..4).map(event));
        it.add("account", "id balance", [[text("a"), n(3)]]);
        it
    }

    fn add<const N: usize>(&mut self, name: &str, columns: &str, rows: impl IntoIterator<Item = [Value; N]>) {
        let rows: Vec<Row> = rows.into_iter().map(|row| Row::new(row.into())).collect();
        self.tables.push(Table {
            name: name.to_owned(),
            columns: columns.split(' ').map(str::to_owned).collect(),
            rows: rows.len() as u64,
            last_number: None,
            is_index: false,
        });
        self.rows.push(rows);
    }

    fn with<const N: usize>(
        mut self,
        name: &str,
        columns: &str,
        rows: impl IntoIterator<Item = [Value; N]>,
    ) -> Written {
        self.add(name, columns, rows);
        self
    }
}

impl Origin for Written {
    fn what(&self) -> &str {
        "what was written down"
    }

    fn identity(&self) -> &str {
        self.identity
    }

    fn epoch(&self) -> Epoch {
        Epoch(9)
    }

    fn tables(&self) -> &[Table] {
        &self.tables
    }

    fn rows(&self, table: &Table) -> mpsc::Receiver<Result<Vec<Row>, StoreError>> {
        let (sender, receiver) = mpsc::channel(1);
        let at = self.tables.iter().position(|it| it.name == table.name);
        let rows = at.and_then(|at| self.rows.get(at)).cloned().unwrap_or_default();
        sender.try_send(Ok(rows)).expect("there is room for one");
        receiver
    }

    fn row_name<'a>(&'a self, _: &'a Table, n: u64) -> BoxFuture<'a, String> {
        Box::pin(std::future::ready(format!("row {n}")))
    }
}

fn n(n: i64) -> Value {
    Value::Integer(n)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// The accounts, and whatever `more` makes.
fn with(more: &'static str) -> Schema {
    Schema { migrations: vec![TABLES, Migration::new(2, "more", more)], ..schema() }
}

fn bank() -> StoreName {
    StoreName::of("bank")
}

async fn import(
    stores: &Postgres,
    schema: &Schema,
    origin: &Written,
    keep: bool,
) -> Result<Vec<(String, u64)>, ImportError> {
    let imported = stores.import(&[Part { name: bank(), schema, origin }], keep).await?;
    Ok(imported.tables.into_iter().map(|table| (table.name, table.rows)).collect())
}

/// Opens what has arrived.
async fn settled(stores: &Postgres, schema: &Schema) -> Store {
    stores.arrived(&bank()).await.expect("it is let in");
    stores.open(&bank(), schema).await.expect("it opens")
}

async fn ask(store: &Store, sql: &str) -> Row {
    let row: Result<Row, StoreError> =
        store.read(async |read: &mut Read| read.query_one(sql, &[]).await).await;
    row.expect("a row")
}

async fn is_empty(databases: &Databases) -> bool {
    let sql = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    databases.server.sql_in(&databases.database("bank"), sql).await.expect("an answer") == "0"
}

#[tokio::test]
async fn every_usual_type_arrives_as_it_was() {
    let databases = databases().await;
    let stores = databases.stores();
    let schema = with(
        "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN positive AS int CHECK (VALUE > 0); \
         CREATE TABLE v (a smallint, b int, c bigint, d boolean, e real, f double precision, g varchar(9), h char(3), \
         i uuid, j json, k jsonb, l timestamptz, m timestamp, n bytea, o mood, p positive, \"Q\" text, \
         twice bigint GENERATED ALWAYS AS (c / 2) STORED, made timestamptz NOT NULL DEFAULT now())",
    );
    let micros = 1_700_000_000_123_456_i64;
    let uuid = "0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f506";
    let row = [
        n(-7),
        n(8),
        n(i64::MAX),
        n(1),
        Value::Real(0.5),
        Value::Real(0.1),
        text("varchar"),
        text("ab"),
        text(&uuid.to_uppercase()),
        text("{\"a\":  1}"),
        text("{\"b\":2}"),
        n(micros),
        n(-micros),
        Value::Blob(vec![0, 1, 255]),
        text("glad"),
        n(3),
        text("ü\u{1F600}"),
    ];
    let nothing = [const { Value::Null }; 17];
    let origin = Written::bank().with("v", "a b c d e f g h i j k l m n o p q", [row, nothing]);
    let tables = import(&stores, &schema, &origin, true).await.expect("it fits");
    assert!(tables.contains(&("bank.v".to_owned(), 2)), "{tables:?}");
    let store = settled(&stores, &schema).await;
    let columns = "SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, \"Q\", twice FROM v";
    let expected = vec![
        n(-7),
        n(8),
        n(i64::MAX),
        n(1),
        Value::Real(0.5),
        Value::Real(0.1),
        text("varchar"),
        text("ab "),
        text(uuid),
        text("{\"a\":  1}"),
        text("{\"b\": 2}"),
        n(micros),
        n(-micros),
        Value::Blob(vec![0, 1, 255]),
        text("glad"),
        n(3),
        text("ü\u{1F600}"),
        n(i64::MAX / 2),
    ];
    assert_eq!(ask(&store, &format!("{columns} WHERE a IS NOT NULL")).await, Row::new(expected));
    let none = Row::new(vec![Value::Null; 18]);
    assert_eq!(ask(&store, &format!("{columns} WHERE a IS NULL")).await, none);
}

/// Each of them in the second of three rows.
#[tokio::test]
async fn what_does_not_fit_is_named_with_its_row_and_column_and_nothing_is_kept() {
    let cases: [(&'static str, Value, &str, &str); 16] = [
        ("int", n(1 << 40), "the value of `x`", "1099511627776 does not fit the type int4"),
        ("bigint", text("7"), "the value of `x`", "a text does not fit the type int8"),
        ("bigint", Value::Real(0.5), "the value of `x`", "a number does not fit the type int8"),
        ("boolean", n(2), "the value of `x`", "2 does not fit the type bool"),
        ("text", Value::Blob(vec![1]), "the value of `x`", "bytes does not fit the type text"),
        ("text", text("a\0b"), "the value of `x`", "zero byte"),
        ("text", n(7), "the value of `x`", "7 does not fit the type text"),
        ("timestamptz", n(i64::MIN), "the value of `x`", "does not fit the type timestamptz"),
        ("uuid", text("no"), "the value of `x`", "invalid"),
        ("json", text("{"), "the value of `x`", "invalid input syntax for type json"),
        ("jsonb", text("{"), "the value of `x`", "invalid input syntax for type json"),
        ("varchar(3)", text("four"), "the value of `x`", "too long"),
        ("text NOT NULL", Value::Null, "the value of `x`", "not-null"),
        ("text CHECK (x <> 'b')", text("b"), "PostgreSQL does not take the row", "v_x_check"),
        ("text UNIQUE", Value::Null, "", ""),
        ("numeric", n(7), "the value of `x`", "7 does not fit the type numeric"),
    ];
    for (column, value, place, why) in cases {
        let databases = databases().await;
        let stores = databases.stores();
        let sql = format!("CREATE TABLE v (id bigint PRIMARY KEY, x {column})");
        let schema = with(Box::leak(sql.into_boxed_str()));
        let fits = || match column.split([' ', '(']).next() {
            _ if place.is_empty() => text("same"),
            Some("numeric") => Value::Null,
            Some("int" | "bigint" | "boolean" | "timestamptz") => n(1),
            Some("json" | "jsonb") => text("{}"),
            Some("uuid") => text("0192f3a4-5b6c-7d8e-9fa0-b1c2d3e4f506"),
            _ => text("a"),
        };
        let rows = [[n(1), fits()], [n(2), value], [n(3), fits()]];
        let error = import(&stores, &schema, &Written::bank().with("v", "id x", rows), true).await;
        let error = error.expect_err(column);
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let said = format!("{error}: {cause}");
        if place.is_empty() {
            // The third is the double of the first.
            assert!(said.contains("`bank.v`, row 3") && said.contains("v_x_key"), "{column}: {said}");
        } else {
            assert!(said.contains("`bank.v`, row 2") && said.contains(place), "{column}: {said}");
            assert!(said.contains(why), "{column}: {said}");
        }
        assert!(is_empty(&databases).await, "{column}");
    }
}

/// A time that PostgreSQL rounds, without a word.
#[tokio::test]
async fn what_the_server_keeps_otherwise_than_it_was_sent_is_noticed() {
    let databases = databases().await;
    let schema = with("CREATE TABLE v (at timestamptz(0))");
    let origin = Written::bank().with("v", "at", [[n(1_700_000_000_000_000)], [n(1_700_000_000_123_456)]]);
    let error = import(&databases.stores(), &schema, &origin, true).await.expect_err("it was rounded");
    assert!(matches!(&error, ImportError::Differs { table, .. } if table == "bank.v"), "{error}");
    assert!(is_empty(&databases).await);
    let whole = Written::bank().with("v", "at", [[n(1_700_000_000_000_000)]]);
    import(&databases.stores(), &schema, &whole, true).await.expect("whole seconds are kept");
}

#[tokio::test]
async fn what_has_no_place_is_said_at_once() {
    let databases = databases().await;
    let mut origin = Written::bank()
        .with("lonely", "x", [[n(1)]])
        .with("never_used", "x", Vec::<[Value; 1]>::new())
        .with("search", "x", [[n(1)]])
        .with("v", "id gone", [[n(1), n(2)]]);
    origin.tables.iter_mut().filter(|table| table.name == "search").for_each(|table| table.is_index = true);
    let schema = with("CREATE TABLE v (id bigint)");
    let error = import(&databases.stores(), &schema, &origin, true).await.expect_err("two have no place");
    let words = error.to_string();
    assert!(words.contains("the table `lonely` with its 1 rows, the column `v.gone`;"), "{words}");
}

/// Tables come in the order of their names, so children before their parents.
#[tokio::test]
async fn foreign_keys_hold_again_and_triggers_have_not_fired_and_numbers_go_on() {
    let databases = databases().await;
    let stores = databases.stores();
    let schema = with(
        "CREATE TABLE parent (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n serial); \
         CREATE TABLE child (id bigint PRIMARY KEY, of bigint NOT NULL REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED); \
         CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION 'it fired'; END $f$; \
         CREATE TRIGGER fires BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION fired(); \
         INSERT INTO parent DEFAULT VALUES",
    );
    let family = |of| {
        let mut it =
            Written::bank().with("child", "id of", [[n(1), n(of)]]).with("parent", "id n", [[n(4), n(2)]]);
        it.tables
            .iter_mut()
            .filter(|table| table.name == "parent")
            .for_each(|table| table.last_number = Some(9));
        it
    };
    let error = import(&stores, &schema, &family(5), true).await.expect_err("there is no parent 5");
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(
        matches!(error, ImportError::ForeignKey { .. }) && cause.contains("child_of_fkey"),
        "{error}: {cause}"
    );
    import(&stores, &schema, &family(4), true).await.expect("it fits");
    let store = settled(&stores, &schema).await;
    assert_eq!(
        ask(&store, "SELECT id FROM parent").await,
        Row::new(vec![n(4)]),
        "what the migration put there is gone"
    );
    store.close().await;
    let sql = async |sql: &str| databases.server.sql_in(&databases.database("bank"), sql).await;
    let next = "INSERT INTO parent DEFAULT VALUES RETURNING id";
    assert_eq!(sql(next).await.expect("a number"), "10", "nine were given");
    let fires =
        sql("INSERT INTO child VALUES (2, 4)").await.expect_err("the trigger is on again").to_string();
    assert!(fires.contains("it fired"), "{fires}");
    let orphan = "ALTER TABLE child DISABLE TRIGGER fires; INSERT INTO child VALUES (3, 77)";
    let orphan = sql(orphan).await.expect_err("the key holds").to_string();
    assert!(orphan.contains("child_of_fkey"), "{orphan}");
}

#[tokio::test]
async fn nothing_starts_on_a_copy_before_it_has_arrived_and_then_its_log_goes_on() {
    let databases = databases().await;
    let (stores, schema) = (databases.stores(), schema());
    import(&stores, &schema, &Written::bank(), true).await.expect("it fits");
    let refused = stores.open(&bank(), &schema).await.map(drop).expect_err("it has not arrived");
    assert!(matches!(&refused, OpenError::Unfinished { service, .. } if service == "bank"), "{refused:?}");
    // It is let in, taken back, and let in again, as long as nobody has been there.
    stores.arrived(&bank()).await.expect("it is let in");
    assert!(matches!(stores.arrival(&bank()).await, Ok(Arrival::Arrived(_))));
    assert!(
        matches!(stores.detain(&bank(), "4567").await, Ok(Arrival::Arrived(_))),
        "it came from elsewhere"
    );
    assert!(
        matches!(stores.detain(&bank(), "0123").await, Ok(Arrival::Arriving(from)) if from.identity == "0123")
    );
    let refused = stores.open(&bank(), &schema).await.map(drop).expect_err("it was taken back");
    assert!(matches!(&refused, OpenError::Unfinished { .. }), "{refused:?}");
    let store = settled(&stores, &schema).await;
    assert!(matches!(stores.detain(&bank(), "0123").await, Ok(Arrival::Lived)), "somebody has been there");

    let mut wanted = everything();
    wanted.lanes.iter_mut().filter(|(lane, _)| *lane == Lane(7)).for_each(|(_, after)| *after = Pos(1));
    let page = store.backend().page(wanted).await.expect("a page");
    assert!(
        page.epochs.current() > Epoch(9) && page.epochs.known.starts_with(&[Epoch(5), Epoch(9)]),
        "{:?}",
        page.epochs
    );
    let fork =
        page.epochs.forks.iter().find(|fork| fork.lane == Lane(7) && fork.epoch == page.epochs.current());
    assert_eq!(fork.map(|fork| fork.fork), Some(Pos(3)), "an epoch begins where the copy ends");
    let of_seven: Vec<Pos> = page.records.iter().filter(|it| it.lane == Lane(7)).map(|it| it.pos).collect();
    assert_eq!(of_seven, [Pos(2), Pos(3)], "what was forgotten stays so");
    // Whichever lane the account has: its next position follows.
    let (balance, positions) = deposit(&store, "a", 1).await.expect("it commits");
    assert_eq!(balance, 4);
    let before = if positions[0].lane == Lane(7) { 3 } else { 0 };
    assert_eq!(positions[0].pos, Pos(before + 1));
}

#[tokio::test]
async fn a_place_that_is_taken_stays_as_it_is_and_a_copy_that_has_not_arrived_is_replaced() {
    let databases = databases().await;
    let (stores, schema) = (databases.stores(), schema());
    import(&stores, &schema, &Written::bank(), false).await.expect("a rehearsal");
    assert!(is_empty(&databases).await, "it leaves nothing");
    assert_eq!(stores.arrival(&bank()).await.expect("a look"), Arrival::Empty);

    import(&stores, &schema, &Written::bank(), true).await.expect("it fits");
    let another = Written { identity: "4567", ..Written::bank() };
    let error = import(&stores, &schema, &another, true).await.expect_err("another file's copy is there");
    assert!(matches!(error, ImportError::AnotherFile { .. }), "{error}");
    let mut later = Written::bank();
    later.rows.last_mut().expect("accounts").push(Row::new(vec![text("b"), n(1)]));
    later.tables.last_mut().expect("accounts").rows = 2;
    let tables = import(&stores, &schema, &later, true).await.expect("its own earlier copy is replaced");
    assert!(tables.contains(&("bank.account".to_owned(), 2)), "{tables:?}");

    settled(&stores, &schema).await.close().await;
    let error = import(&stores, &schema, &later, true).await.expect_err("it lives there");
    assert!(error.to_string().contains("is not empty: the database of `bank` is there"), "{error}");
    stores.forget_arrival(&bank()).await.expect("a look");
    assert_eq!(
        stores.arrival(&bank()).await.expect("a look"),
        Arrival::Lived,
        "only what a move has left is removed"
    );
}

/// Whoever makes room is not asked to remove what is not the service's.
#[tokio::test]
async fn what_an_administrator_has_put_into_the_schema_stays() {
    let databases = databases().await;
    let (stores, schema) =
        (databases.stores(), with("CREATE TYPE mood AS ENUM ('sad'); CREATE VIEW rich AS SELECT 1 AS x"));
    assert_eq!(stores.arrival(&bank()).await.expect("it is made"), Arrival::Empty);
    let sql =
        async |sql: &str| databases.server.sql_in(&databases.database("bank"), sql).await.expect("an answer");
    sql("CREATE EXTENSION pg_stat_statements; GRANT USAGE ON SCHEMA public TO pg_monitor").await;
    for _ in 0..2 {
        import(&stores, &schema, &Written::bank(), true).await.expect("an extension is not in the way");
    }
    stores.forget_arrival(&bank()).await.expect("it goes");
    assert_eq!(stores.arrival(&bank()).await.expect("a look"), Arrival::Empty);
    assert_eq!(sql("SELECT count(*) FROM pg_type WHERE typname IN ('mood', 'rich')").await, "0");
    assert_eq!(sql("SELECT count(*) FROM pg_views WHERE viewname = 'pg_stat_statements'").await, "1");
    assert_eq!(sql("SELECT has_schema_privilege('pg_monitor', 'public', 'USAGE')").await, "t");
}
