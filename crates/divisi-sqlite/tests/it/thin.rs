use divisi_contract::{CallError, Context, Event};
use divisi_sqlite::{Options, Sqlite};
use divisi_store::outbox::PageWanted;
use divisi_store::{Lane, Pos, Read, StoreError, Tx, params};

use crate::fixture::{Moved, add, fixture, name, schema};

#[tokio::test]
async fn a_row_and_its_event_are_there_and_a_new_start_begins_an_epoch() {
    let fixture = fixture(Options::default()).await;
    let cx = Context::root("test");
    let (n, positions) =
        fixture.store.transact_at(&cx, async |tx: &mut Tx| add(tx, "a", 5).await).await.expect("it commits");
    assert_eq!((n, positions.len(), positions[0].pos), (5, 1, Pos(1)));
    let refused: Result<i64, CallError> =
        fixture.store.transact(&cx, async |tx: &mut Tx| add(tx, "a", -50).await).await;
    assert!(refused.is_err());

    let found: Result<(i64,), StoreError> = fixture
        .store
        .read(async |read: &mut Read| {
            read.query_one("SELECT n FROM account WHERE id = $1", params!["a"]).await
        })
        .await;
    assert_eq!(found.expect("the row"), (5,));
    let wanted = PageWanted {
        topic: Moved::TOPIC.into(),
        lanes: (0..64).map(|lane| (Lane(lane), Pos(0))).collect(),
        max_records: 10,
        max_bytes: 1_000_000,
    };
    let page = fixture.store.backend().page(wanted.clone()).await.expect("a page");
    assert_eq!(page.records.len(), 1);
    let record = &page.records[0];
    assert_eq!(record.position(), positions[0]);
    assert_eq!(record.decode::<Moved>().expect("the event"), Moved { account: "a".into(), n: 5 });
    assert_eq!(page.epochs.known, [record.epoch]);

    fixture.store.close().await;
    let sqlite = Sqlite::new(fixture.dir.path(), Options::default());
    let (store, _) = sqlite.open_store(&name(), &schema()).await.expect("it opens again");
    let again = store.backend().page(wanted).await.expect("a page");
    assert_eq!(again.records, page.records);
    assert_eq!(again.epochs.known.len(), 2);
    let fork = again
        .epochs
        .forks
        .iter()
        .find(|fork| fork.lane == record.lane && fork.epoch == again.epochs.current());
    assert_eq!(fork.expect("the lane's fork").fork, Pos(1));
}
