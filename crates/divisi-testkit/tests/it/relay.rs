//! How much a relay publishes at once.

use std::sync::Arc;
use std::time::Duration;

use divisi_contract::event::LANES;
use divisi_contract::{CallError, ServiceName};
use divisi_events::fetch::RECORDS_MAX;
use divisi_events::relay::{Granted, Relay};
use divisi_events::{Carrier, Listeners, Log, LogOptions};
use divisi_sqlite::{Options, Sqlite};
use divisi_store::conformance::account::{Moved, cx, schema};
use divisi_store::{Lane, Pos, StoreName, Stores, Tx};
use divisi_testkit::{Faults, MemoryCarrier};

/// More than one answer of the log has, and fewer than go at once.
const EVENTS: usize = RECORDS_MAX as usize * 3;

/// All that there is goes in one step, in order; after a failure no more than one answer does, until something gets through.
#[tokio::test]
async fn several_answers_of_the_log_go_at_once_until_something_fails() {
    let place = tempfile::tempdir().expect("a directory");
    let stores = Sqlite::new(place.path(), Options::default());
    let store = stores.open(&StoreName::of("bank"), &schema()).await.expect("it opens");
    let log = Log::new(store.clone(), Listeners::none(), LogOptions::default());
    let carrier = MemoryCarrier::new(Faults::NONE, 1);
    let deposit = async |n: usize| {
        let done: Result<(), CallError> = store
            .transact(&cx(), async |tx: &mut Tx| {
                (0..n).for_each(|n| tx.emit(Moved { account: format!("account {n}"), balance: 1 }));
                Ok(())
            })
            .await;
        done.expect("it commits");
    };
    let by = Arc::new(carrier.clone()) as Arc<dyn Carrier>;
    let lease = Arc::new(Granted::new(store.clone()));
    let mut relay =
        Relay::new(store.clone(), "accounts", (0..LANES).map(Lane), Arc::clone(&log) as _, by, lease);
    let token = relay.take_lease().await.expect("the database answers").expect("nobody else leads");
    relay.start().await.expect("it finds its places");
    let published = async |relay: &mut Relay| {
        let stepped = relay.step(token, Duration::ZERO).await.expect("the log answers");
        (stepped.published, stepped.failed.is_some())
    };
    deposit(EVENTS).await;
    assert_eq!(published(&mut relay).await, (EVENTS, false), "in one step");
    deposit(EVENTS).await;
    carrier.die();
    assert_eq!(published(&mut relay).await, (0, true));
    carrier.revive();
    assert_eq!(published(&mut relay).await, (RECORDS_MAX as usize, false), "one answer");
    assert_eq!(published(&mut relay).await, (EVENTS - RECORDS_MAX as usize, false), "and all the others");
    let source = ServiceName::from("bank");
    for lane in (0..LANES).map(Lane) {
        let held = carrier.holds(&source, "accounts", lane);
        assert!(held.iter().map(|record| record.pos).eq((1..=held.len() as i64).map(Pos)), "lane {lane}");
    }
}
