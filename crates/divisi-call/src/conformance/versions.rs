//! Two versions of one contract that talk: each side may have fields that the other does not know.

use std::future::Future;
use std::sync::Arc;

use divisi_contract::{Answer, CallError, CauseKind, Context, refuse};

use super::{client_and_place, cx};
use crate::limit::Limit;
use crate::{Place, Served};

/// The contract as it was.
mod older {
    use divisi_contract::{Answer, Context};

    #[divisi_macros::data(crate = crate)]
    pub(super) struct Letter {
        pub(super) text: String,
    }

    #[divisi_macros::data(crate = crate)]
    pub(super) struct Receipt {
        pub(super) number: u32,
    }

    #[divisi_macros::refusal(crate = crate)]
    pub(super) enum PostRefused {
        #[refuse(409, "the letter box is full")]
        Full,
    }

    #[divisi_macros::contract(crate = crate)]
    pub(super) trait LetterBox {
        async fn post(&self, cx: &Context, letter: Letter) -> Answer<Receipt, PostRefused>;
    }
}

/// The contract with an argument, fields and a refusal more.
mod newer {
    use divisi_contract::{Answer, Context};

    #[divisi_macros::data(crate = crate)]
    pub(super) struct Letter {
        pub(super) text: String,
        #[serde(default)]
        pub(super) urgent: bool,
    }

    #[divisi_macros::data(crate = crate)]
    pub(super) struct Receipt {
        pub(super) number: u32,
        pub(super) stamp: Option<String>,
    }

    #[divisi_macros::refusal(crate = crate)]
    pub(super) enum PostRefused {
        #[refuse(409, "the letter box is full")]
        Full,
        #[refuse(403, "after {hour} o'clock nobody posts letters")]
        Closed { hour: u8 },
    }

    #[divisi_macros::contract(crate = crate)]
    pub(super) trait LetterBox {
        async fn post(
            &self,
            cx: &Context,
            letter: Letter,
            copies: Option<u32>,
        ) -> Answer<Receipt, PostRefused>;
    }
}

struct OlderBox;

impl older::LetterBox for OlderBox {
    async fn post(&self, _cx: &Context, letter: older::Letter) -> Answer<older::Receipt, older::PostRefused> {
        if letter.text.is_empty() {
            return refuse(older::PostRefused::Full);
        }
        Ok(older::Receipt { number: 1 })
    }
}

struct NewerBox;

impl newer::LetterBox for NewerBox {
    async fn post(
        &self,
        _cx: &Context,
        letter: newer::Letter,
        copies: Option<u32>,
    ) -> Answer<newer::Receipt, newer::PostRefused> {
        if letter.text.is_empty() {
            return refuse(newer::PostRefused::Closed { hour: 18 });
        }
        let stamp = format!("urgent: {}, copies: {copies:?}", letter.urgent);
        Ok(newer::Receipt { number: 2, stamp: Some(stamp) })
    }
}

/// In one process there is one version; only between two can they differ.
async fn between_processes<C, M, F>(make: &M, served: Served) -> Option<C>
where
    C: crate::Client,
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let (client, place) = client_and_place(make, served, Limit::default()).await;
    matches!(place, Place::Remote(_)).then_some(client)
}

pub(super) async fn an_older_caller_talks_to_a_newer_callee<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let served = newer::LetterBoxClient::serve(Arc::new(NewerBox), None);
    let Some(letters) = between_processes::<older::LetterBoxClient, _, _>(make, served).await else { return };
    let answer = letters.post(&cx(), older::Letter { text: "dear".to_owned() }).await;
    assert_eq!(answer, Ok(older::Receipt { number: 2 }));
}

pub(super) async fn a_newer_caller_talks_to_an_older_callee<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let served = older::LetterBoxClient::serve(Arc::new(OlderBox), None);
    let Some(letters) = between_processes::<newer::LetterBoxClient, _, _>(make, served).await else { return };
    let letter = newer::Letter { text: "dear".to_owned(), urgent: true };
    let answer = letters.post(&cx(), letter.clone(), Some(2)).await;
    assert_eq!(answer, Ok(newer::Receipt { number: 1, stamp: None }));
    let answer = letters.post(&cx(), newer::Letter { text: String::new(), ..letter }, None).await;
    assert_eq!(answer, Err(CallError::Refused(newer::PostRefused::Full)));
}

pub(super) async fn a_refusal_unknown_to_an_older_caller_changed_nothing<M, F>(make: &M)
where
    M: Fn(Vec<Served>) -> F,
    F: Future<Output = Place>,
{
    let served = newer::LetterBoxClient::serve(Arc::new(NewerBox), None);
    let Some(letters) = between_processes::<older::LetterBoxClient, _, _>(make, served).await else { return };
    let error = letters.post(&cx(), older::Letter { text: String::new() }).await.expect_err("it is closed");
    assert!(matches!(&error, CallError::NotRun(cause) if cause.kind == CauseKind::Malformed), "{error}");
}
