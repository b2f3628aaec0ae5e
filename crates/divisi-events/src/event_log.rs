//! The contract that every service with a log serves, beside its own.

use std::sync::Arc;
use std::time::Duration;

use divisi_call::BoxFuture;
use divisi_contract::{Answer, Context, Deadline};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fetch::{Feed, Fetch, FetchRefused, Fetched, LaneWanted, WAIT_MS_MAX};

/// How much longer than its wait a fetch may take: for a page of history, and the way there and back.
pub const FETCH_GRACE: Duration = Duration::from_secs(5);
/// How long keeping a reader's progress may take.
pub const PROGRESS_DEADLINE: Duration = Duration::from_secs(5);
/// How a log is reached, wherever its service runs.
#[divisi_macros::contract(crate = divisi_call, name = "divisi-log")]
pub trait EventLog {
    /// Asks what comes after some positions; waits when nothing does yet.
    #[call(idempotent)]
    async fn fetch(&self, cx: &Context, want: Fetch) -> Answer<Fetched, FetchRefused>;

    /// Tells how far a reader is when no fetch will: at its stop. It may be told late, and may go back.
    #[call(idempotent)]
    async fn progress(&self, cx: &Context, told: Progress) -> Answer<()>;
}

/// How far a reader is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// The reader: its service's name, or that and more, as in `search` and `search.posts.v2`.
    pub reader: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The lanes that have moved; what is [`applied`](LaneWanted::applied) counts. None to say that it is still there.
    pub lanes: Vec<LaneWanted>,
}

impl Feed for EventLogClient {
    fn fetch<'a>(&'a self, cx: &'a Context, want: Fetch) -> BoxFuture<'a, Answer<Fetched, FetchRefused>> {
        Box::pin(async move {
            let wait = Duration::from_millis(want.wait_ms.min(WAIT_MS_MAX).into());
            EventLogClient::fetch(self, &within(cx, wait + FETCH_GRACE), want).await
        })
    }

    fn progress<'a>(&'a self, cx: &'a Context, told: Progress) -> BoxFuture<'a, Answer<()>> {
        Box::pin(async move { EventLogClient::progress(self, &within(cx, PROGRESS_DEADLINE), told).await })
    }
}

fn within(cx: &Context, span: Duration) -> Context {
    cx.clone().with_deadline(Deadline::after(divisi_call::now(), span))
}
