//! F-5, a storm of rollbacks.

use std::collections::BTreeMap;

use divisi_contract::{CallError, CauseKind};
use tokio::task::JoinSet;

use super::account::{Moved, add, cx, is_consistent, open, whole_log};
use crate::backend::Stores;
use crate::record::Position;
use crate::transaction::Tx;

const WRITERS: usize = 16;
const TRANSACTIONS: usize = 50;

/// Sixteen writers of whom half fail: the log has no holes, each key is in order, and who was told a position finds
/// its event there.
pub async fn sixteen_writers_of_whom_half_fail_leave_a_dense_log(stores: &dyn Stores) {
    let store = open(stores, "storm").await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            let mut told: Vec<(Position, String, i64)> = Vec::new();
            for n in 0..TRANSACTIONS {
                let account = format!("account-{}", (writer + n) % 7);
                let fails = (writer + n) % 2 == 0;
                let done: Result<(i64, Vec<Position>), CallError> = store
                    .transact_at(&cx(), async |tx: &mut Tx| {
                        let balance = add(tx, &account, 1).await?;
                        if fails { Err(CallError::not_run(CauseKind::NotAllowed, "no")) } else { Ok(balance) }
                    })
                    .await;
                match done {
                    Ok((balance, positions)) => {
                        assert!(!fails, "what was refused is not acknowledged");
                        told.push((positions[0].clone(), account, balance));
                    }
                    Err(error) => assert!(fails, "{error:?}"),
                }
            }
            told
        });
    }
    let told: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(told.len(), WRITERS * TRANSACTIONS / 2);
    let log: BTreeMap<Position, Moved> = whole_log(&store)
        .await
        .into_iter()
        .map(|record| (record.position(), record.decode().expect("an event of the log can be read")))
        .collect();
    assert_eq!(log.len(), told.len(), "what was acknowledged, and nothing else");
    for (position, account, balance) in told {
        assert_eq!(log.get(&position), Some(&Moved { account, balance }), "{position}");
    }
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for moved in log.values() {
        let before = last.insert(&moved.account, moved.balance).unwrap_or_default();
        assert_eq!(moved.balance, before + 1, "{} is in order", moved.account);
    }
    is_consistent(&store).await;
}
