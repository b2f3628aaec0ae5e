//! Where an idempotency key goes, and what a kept answer is good for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use divisi_call::dispatch::{Kept, keyed};
use divisi_call::{BoxFuture, Call, Client, Place, Route};
use divisi_contract::{Answer, CallError, Context, KeptAnswers, Keyed, NoRefusal, Repeat, codec};

/// Keeps nothing, and remembers what it was asked for.
#[derive(Default)]
struct Asked(Mutex<Vec<(String, String, [u8; 16])>>);

/// Keeps one answer, whatever the key.
struct Always(Bytes);

impl KeptAnswers for Asked {
    fn kept<'a>(&'a self, keyed: &'a Keyed) -> BoxFuture<'a, Result<Option<Bytes>, CallError>> {
        let asked = (keyed.scope.clone(), keyed.key.to_string(), keyed.fingerprint);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        Box::pin(std::future::ready(Ok(None)))
    }
}

impl Asked {
    fn take(&self) -> Vec<(String, String, [u8; 16])> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeptAnswers for Always {
    fn kept<'a>(&'a self, _: &'a Keyed) -> BoxFuture<'a, Result<Option<Bytes>, CallError>> {
        Box::pin(std::future::ready(Ok(Some(self.0.clone()))))
    }
}

/// Takes money.
#[divisi_macros::contract(crate = divisi_call)]
trait Payments {
    /// Takes an amount.
    #[call(keyed)]
    async fn take(&self, cx: &Context, amount: u64) -> Answer<()>;
}

/// Sells.
#[divisi_macros::contract(crate = divisi_call)]
trait Shop {
    /// Buys; pays under a key of its own, or under none.
    #[call(keyed)]
    async fn buy(&self, cx: &Context, own_key: Option<String>) -> Answer<()>;
    /// Pays without giving a key.
    async fn tip(&self, cx: &Context) -> Answer<()>;
}

struct Till;

impl Payments for Till {
    async fn take(&self, _cx: &Context, _amount: u64) -> Answer<()> {
        Ok(())
    }
}

struct Seller(PaymentsClient);

impl Shop for Seller {
    async fn buy(&self, cx: &Context, own_key: Option<String>) -> Answer<()> {
        match own_key {
            Some(key) => self.0.take(&cx.clone().with_key(key), 5).await,
            None => self.0.take(cx, 5).await,
        }
    }

    async fn tip(&self, cx: &Context) -> Answer<()> {
        self.0.take(cx, 1).await
    }
}

/// A shop, and what its payments were asked for.
fn shop() -> (Arc<Seller>, Arc<Asked>) {
    let asked = Arc::<Asked>::default();
    let route = Route::new("payments");
    let served = PaymentsClient::serve(Arc::new(Till), Some(Arc::clone(&asked) as _));
    assert!(route.lead_to(Place::Local(vec![served])), "the route is new");
    (Arc::new(Seller(PaymentsClient::over("shop".into(), route))), asked)
}

fn client_of(seller: Arc<Seller>) -> ShopClient {
    let route = Route::new("shop");
    assert!(route.lead_to(Place::Local(vec![ShopClient::serve(seller, Some(Arc::<Asked>::default()))])));
    ShopClient::over("tests".into(), route)
}

fn cx() -> Context {
    Context::root("tests").with_key("of-the-caller")
}

#[tokio::test]
async fn the_key_of_a_caller_goes_no_further() {
    let (seller, asked) = shop();
    let shop = client_of(seller);
    assert_eq!(shop.buy(&cx(), None).await, Ok(()));
    assert_eq!(shop.tip(&cx()).await, Ok(()));
    assert_eq!(asked.take(), [], "payments were called without a key");
}

#[tokio::test]
async fn a_keyed_method_may_give_a_key_of_its_own() {
    let (seller, asked) = shop();
    assert_eq!(client_of(seller).buy(&cx(), Some("of-the-shop".to_owned())).await, Ok(()));
    let asked = asked.take();
    let [(scope, key, _)] = &*asked else { panic!("payments were asked once: {asked:?}") };
    assert_eq!((scope.as_str(), key.as_str()), ("payments.take/shop", "of-the-shop"));
}

#[tokio::test]
async fn a_key_that_reached_a_method_that_is_not_keyed_goes_no_further() {
    let (seller, asked) = shop();
    let served = ShopClient::serve(seller, None);
    let seen = cx().for_call(&"tests".into(), true);
    let arguments = codec::encode(&HashMap::<String, u64>::new()).expect("an empty map");
    let answer = Arc::clone(served.dispatch()).dispatch("tip", seen, arguments).await;
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(asked.take(), [], "payments were called without a key");
}

const CALL: &Call = &Call { contract: "shop", version: 1, method: "buy", repeat: Repeat::Keyed };

async fn fingerprint(arguments: &impl serde::Serialize) -> [u8; 16] {
    let asked = Arc::<Asked>::default();
    let answers: Arc<dyn KeptAnswers> = Arc::clone(&asked) as _;
    let found = keyed::<(), NoRefusal, _>(Some(&answers), CALL, cx(), arguments).await;
    assert!(matches!(found, Ok(Kept::Run(_))), "nothing is kept");
    asked.take().pop().expect("it was asked for").2
}

#[tokio::test]
async fn the_same_map_is_the_same_argument_in_whatever_order_it_is_walked() {
    let one: HashMap<u32, &str> = (0..50).map(|n| (n, "x")).collect();
    let other: HashMap<u32, &str> = (0..50).rev().map(|n| (n, "x")).collect();
    assert_eq!(fingerprint(&one).await, fingerprint(&other).await);
    let less: HashMap<u32, &str> = (0..49).map(|n| (n, "x")).collect();
    assert_ne!(fingerprint(&one).await, fingerprint(&less).await);
}

#[tokio::test]
async fn a_field_that_is_absent_is_one_that_is_not_known_yet() {
    #[derive(serde::Serialize)]
    struct Older {
        text: &'static str,
    }
    #[derive(serde::Serialize)]
    struct Newer {
        text: &'static str,
        language: Option<&'static str>,
    }
    let older = fingerprint(&Older { text: "hi" }).await;
    assert_eq!(older, fingerprint(&Newer { text: "hi", language: None }).await);
    assert_ne!(older, fingerprint(&Newer { text: "hi", language: Some("en") }).await);
    assert_ne!(fingerprint(&[Some(1), None]).await, fingerprint(&[Some(1)]).await, "a list has its places");
}

#[tokio::test]
async fn an_answer_that_was_kept_and_cannot_be_read_did_run() {
    let kept = codec::encode(&"an answer of an older version").expect("a text");
    let answers: Arc<dyn KeptAnswers> = Arc::new(Always(kept));
    let found = keyed::<u64, NoRefusal, _>(Some(&answers), CALL, cx(), &5).await;
    match found {
        Err(error) => assert!(error.may_have_run(), "it was kept, so it ran: {error}"),
        Ok(_) => panic!("a text is not a number"),
    }
}
