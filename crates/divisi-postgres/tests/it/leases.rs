//! Leases of a piece of work, by the database's clock.

use std::time::Duration;

use divisi_events::relay::{Lease, Leased};
use divisi_store::{Class, Read, Store, StoreError, Tx, TxFailed, lease};
use tokio::task::JoinSet;

use crate::fixture::{databases, eventually};

const LONG: Duration = Duration::from_secs(60);

async fn take(store: &Store, owner: &str, ttl: Duration) -> Option<u64> {
    let taken: Result<_, TxFailed<StoreError>> =
        store.run(Class::Consumer, async |tx: &mut Tx| lease::take(tx, "relay/x", owner, ttl).await).await;
    taken.expect("the database answers").0
}

async fn holds(store: &Store, owner: &str, token: u64) -> bool {
    let held: Result<bool, StoreError> =
        store.read(async |read: &mut Read| lease::holds(read, "relay/x", owner, token).await).await;
    held.expect("the database answers")
}

#[tokio::test]
async fn one_holds_it_and_each_change_raises_the_token() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    let (other, _) = databases.bank().await;
    let first = take(&store, "a", LONG).await.expect("it is free");
    assert_eq!(take(&other, "b", LONG).await, None, "somebody else has it");
    assert_eq!(take(&store, "a", LONG).await, Some(first), "renewed under the same token");
    assert!(holds(&other, "a", first).await && !holds(&other, "b", first).await);
    let released: Result<_, TxFailed<StoreError>> = store
        .run(Class::Consumer, async |tx: &mut Tx| {
            assert!(!lease::release(tx, "relay/x", "b").await?, "not by somebody else");
            lease::release(tx, "relay/x", "a").await
        })
        .await;
    assert!(released.expect("the database answers").0);
    assert!(!holds(&store, "a", first).await);
    let second = take(&other, "b", Duration::from_millis(100)).await.expect("it is free again");
    assert!(second > first);
    // Its time runs out by itself; meanwhile nobody else gets it.
    let third = eventually("its time is over", async || take(&store, "a", LONG).await, Option::is_some).await;
    assert!(third > Some(second));
    assert!(!holds(&other, "b", second).await, "a zombie is told so");
    assert_eq!(take(&other, "b", LONG).await, None);
    let held: Result<_, StoreError> =
        store.read(async |read: &mut Read| lease::held(read, "relay/").await).await;
    assert_eq!(held.expect("the database answers"), [("relay/x".to_owned(), "a".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_ask_at_once_one_gets_it() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    for round in 0..5 {
        let mut asking = JoinSet::new();
        for n in 0..8 {
            let store = store.clone();
            asking.spawn(async move {
                let name = format!("work/{round}");
                let taken: Result<_, TxFailed<StoreError>> = store
                    .run(Class::Call, async |tx: &mut Tx| {
                        lease::take(tx, &name, &format!("i{n}"), LONG).await
                    })
                    .await;
                taken.expect("the database answers").0
            });
        }
        let granted = asking.join_all().await.into_iter().flatten().count();
        assert_eq!(granted, 1, "round {round}");
    }
}

/// The relay's lease: what keeps its cursor is fenced by it.
#[tokio::test]
async fn a_relays_lease_is_a_row_of_its_database() {
    let databases = databases().await;
    let (store, _) = databases.bank().await;
    let first = Leased::new(store.clone(), "a").ttl(Duration::from_millis(200));
    let second = Leased::new(store.clone(), "b");
    let token = first.take("relay/x").await.expect("an answer").expect("it is free");
    assert_eq!(second.take("relay/x").await.expect("an answer"), None);
    let later = eventually(
        "its time is over",
        async || second.take("relay/x").await.expect("an answer"),
        Option::is_some,
    )
    .await
    .expect("a token");
    assert!(later > token);
    let fenced: Result<_, TxFailed<StoreError>> = store
        .run(Class::Consumer, async |tx: &mut Tx| {
            Ok((first.holds(tx, "relay/x", token).await?, second.holds(tx, "relay/x", later).await?))
        })
        .await;
    assert_eq!(fenced.expect("the database answers").0, (false, true));
}
