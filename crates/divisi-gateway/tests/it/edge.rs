//! An edge written by hand: it says what it was asked, or fails as it is told.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use divisi_call::{BoxFuture, Edge, EdgeError, EdgeRequest};
use divisi_contract::{
    Argument, Cause, CauseKind, Context, Contract, FieldError, Method, Repeat, Route, Verb,
};
use serde_json::json;
use tokio::sync::{Notify, watch};

/// A service behind [`Things`], and what a test sees of it.
#[derive(Clone, Default)]
pub(crate) struct Things(Arc<Inner>);

#[derive(Default)]
struct Inner {
    calls: AtomicUsize,
    waiting: watch::Sender<usize>,
    dropped: watch::Sender<usize>,
    go_on: Notify,
}

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let get = |path| (Verb::Get, path, 200);
    Contract {
        name: "things".to_owned(),
        version: 1,
        docs: String::new(),
        methods: vec![
            method("list", Repeat::Idempotent, &["after", "limit"], &[get("/things")]),
            method("get", Repeat::Idempotent, &["id", "shape"], &[get("/things/{id}")]),
            method(
                "add",
                Repeat::Keyed,
                &["thing"],
                &[(Verb::Post, "/things", 201), (Verb::Post, "/things/add", 201)],
            ),
            method("replace", Repeat::Once, &["id", "thing"], &[(Verb::Put, "/things/{id}", 200)]),
            method("remove", Repeat::Idempotent, &["id"], &[(Verb::Delete, "/things/{id}", 204)]),
            method("poke", Repeat::Once, &["id"], &[(Verb::Post, "/things/{id}/poke", 200)]),
            method("fail", Repeat::Idempotent, &["how"], &[get("/fail/{how}")]),
            method("inner", Repeat::Once, &["id"], &[]),
            method("part", Repeat::Once, &["thing", "part"], &[get("/things/{thing}/parts/{part}")]),
        ],
    }
});

fn method(name: &str, repeat: Repeat, arguments: &[&str], routes: &[(Verb, &str, u16)]) -> Method {
    let argument = |name: &&str| Argument { name: (*name).to_owned(), schema: json!(true) };
    let route = |&(verb, path, status): &(Verb, &str, u16)| Route { verb, path: path.to_owned(), status };
    Method {
        name: name.to_owned(),
        docs: String::new(),
        repeat,
        routes: routes.iter().map(route).collect(),
        arguments: arguments.iter().map(argument).collect(),
        answer: json!(true),
        refusals: Vec::new(),
    }
}

impl Things {
    /// How many calls have arrived.
    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// Waits until `n` calls wait.
    pub(crate) async fn waiting(&self, n: usize) {
        self.0.waiting.subscribe().wait_for(|waiting| *waiting >= n).await.unwrap();
    }

    /// Waits until `n` of those that waited were dropped.
    pub(crate) async fn dropped(&self, n: usize) {
        self.0.dropped.subscribe().wait_for(|dropped| *dropped >= n).await.unwrap();
    }

    /// Lets one that waits go on.
    pub(crate) fn go_on(&self) {
        self.0.go_on.notify_one();
    }

    async fn fail(&self, how: &str) -> Result<Vec<u8>, EdgeError> {
        let (fate, kind) = how.split_once('.').unwrap_or((how, ""));
        let cause = || {
            let kind = serde_json::from_value(json!(kind)).unwrap();
            Cause::new(kind, "secret words of the callee")
        };
        let errors =
            || vec![FieldError::of("title", "must not be empty"), FieldError::of("tags", "are too many")];
        match fate {
            "not_run" => Err(EdgeError::NotRun(cause())),
            "may_have_run" => Err(EdgeError::MayHaveRun(cause())),
            "refused" => Err(EdgeError::Refused {
                status: kind.parse().unwrap(),
                code: "no-such-thing",
                message: "there is no such thing".to_owned(),
                errors: Vec::new(),
            }),
            "invalid" => Err(EdgeError::Refused {
                status: 422,
                code: "invalid",
                message: "the thing breaks a rule".to_owned(),
                errors: errors(),
            }),
            "bad_request" => Err(EdgeError::BadRequest { status: kind.parse().unwrap(), errors: errors() }),
            "panic" => panic!("secret words of a panic"),
            "never" => {
                let _dropped = Dropped(&self.0.dropped);
                self.0.waiting.send_modify(|waiting| *waiting += 1);
                pending().await
            }
            "wait" => {
                self.0.waiting.send_modify(|waiting| *waiting += 1);
                self.0.go_on.notified().await;
                Ok(b"\"waited\"".to_vec())
            }
            _ => Err(EdgeError::NotRun(Cause::new(CauseKind::NoSuchMethod, how))),
        }
    }
}

struct Dropped<'a>(&'a watch::Sender<usize>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|dropped| *dropped += 1);
    }
}

impl Edge for Things {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn call<'a>(
        &'a self,
        method: usize,
        cx: &'a Context,
        request: EdgeRequest<'a>,
    ) -> BoxFuture<'a, Result<Vec<u8>, EdgeError>> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let name = CONTRACT.methods[method].name.as_str();
        if request.path.iter().any(|(_, value)| value == "panic-before-it-waits") {
            panic!("secret words of an early panic");
        }
        Box::pin(async move {
            if name == "fail" {
                return self.fail(&request.path[0].1).await;
            }
            let seen = json!({
                "method": name,
                "path": request.path,
                "query": request.query,
                "body": String::from_utf8_lossy(request.body),
                "caller": cx.caller(),
                "key": cx.idempotency_key(),
                "trace": cx.trace().to_string(),
                "left_ms": cx.deadline().left(divisi_call::now()).map(|left| left.as_millis() as u64),
            });
            Ok(serde_json::to_vec(&seen).unwrap())
        })
    }
}
