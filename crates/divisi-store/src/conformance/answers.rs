//! What is promised to a caller that gives an idempotency key.

use divisi_contract::{CallError, CauseKind, Context, KeptAnswers, Keyed};

use super::account::{add, cx, deposit, is_consistent, open, whole_log};
use crate::backend::Stores;
use crate::store::Store;
use crate::transaction::Tx;

fn keyed(key: &str, fingerprint: u8) -> Context {
    cx().with_keyed(Keyed::new("accounts.add/conformance".to_owned(), key.into(), [fingerprint; 16]))
}

async fn add_keyed(store: &Store, cx: &Context, amount: i64) -> Result<i64, CallError> {
    store.transact(cx, async |tx: &mut Tx| add(tx, "a", amount).await).await
}

/// The second call under a key brings the first one's answer and changes nothing.
pub async fn a_kept_answer_is_given_again(stores: &dyn Stores) {
    let store = open(stores, "kept").await;
    assert_eq!(add_keyed(&store, &keyed("k", 1), 5).await.expect("it commits"), 5);
    deposit(&store, "a", 1).await.expect("it commits");
    assert_eq!(add_keyed(&store, &keyed("k", 1), 5).await.expect("the kept answer"), 5);
    assert_eq!(add_keyed(&store, &keyed("other", 1), 5).await.expect("it commits"), 11);
    assert_eq!(is_consistent(&store).await.get("a"), Some(&11));
    assert_eq!(whole_log(&store).await.len(), 3);
    let cx = keyed("k", 1);
    let kept = store.kept(cx.keyed().expect("it has a key")).await.expect("a look");
    assert!(kept.is_some(), "the seam finds it before the body runs");
}

/// Other arguments under the same key are refused.
pub async fn a_key_with_other_arguments_is_refused(stores: &dyn Stores) {
    let store = open(stores, "reused").await;
    add_keyed(&store, &keyed("k", 1), 5).await.expect("it commits");
    let refused = add_keyed(&store, &keyed("k", 2), 7).await.unwrap_err();
    assert_eq!(refused.cause().map(|cause| cause.kind), Some(CauseKind::KeyReused));
    assert_eq!(is_consistent(&store).await.get("a"), Some(&5));
}

/// A keyed method has one transaction: its value is the answer.
pub async fn a_second_transaction_of_a_keyed_method_is_refused(stores: &dyn Stores) {
    let store = open(stores, "second").await;
    let cx = keyed("k", 1);
    add_keyed(&store, &cx, 5).await.expect("it commits");
    let refused = add_keyed(&store, &cx, 5).await.unwrap_err();
    assert_eq!(refused.cause().map(|cause| cause.kind), Some(CauseKind::Bug));
    assert!(refused.may_have_run(), "the first one was committed: {refused}");
    assert_eq!(is_consistent(&store).await.get("a"), Some(&5));
}

/// An answer is kept in the transaction that it answers for: what was refused is not kept and may be tried again.
pub async fn an_answer_is_kept_only_with_what_it_answers_for(stores: &dyn Stores) {
    let store = open(stores, "unkept").await;
    let refused: Result<i64, CallError> = store
        .transact(&keyed("k", 1), async |tx: &mut Tx| {
            add(tx, "a", 5).await?;
            Err(CallError::not_run(CauseKind::NotAllowed, "no"))
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(add_keyed(&store, &keyed("k", 1), 5).await.expect("it commits"), 5);
    assert_eq!(is_consistent(&store).await.get("a"), Some(&5));
}

/// An answer that nobody can read any more is one of something that ran.
pub async fn a_kept_answer_that_cannot_be_read_has_run(stores: &dyn Stores) {
    let store = open(stores, "unreadable").await;
    add_keyed(&store, &keyed("k", 1), 5).await.expect("it commits");
    let now_a_text: Result<String, CallError> =
        store.transact(&keyed("k", 1), async |_: &mut Tx| Ok("another shape".to_owned())).await;
    assert!(now_a_text.is_err_and(|error| error.may_have_run()), "it did run, under this key");
}
