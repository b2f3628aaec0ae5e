//! A small service, and how the tests serve and call it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use divisi_call::{BoxFuture, Call, Caller, Dispatch, Request, Served};
use divisi_contract::{CallError, CauseKind, Context, Contract, Deadline, Method, Repeat, ServiceName};
use divisi_tcp::{Client, ClientOptions, Drained, Limits, Server};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;

/// Calls of the contract `probe`.
pub(crate) const ECHO: Call = call("echo");
pub(crate) const REFUSE: Call = call("refuse");
pub(crate) const CONTEXT: Call = call("context");
pub(crate) const WAIT: Call = call("wait");
pub(crate) const LARGE: Call = call("large");
pub(crate) const ONWARD: Call = call("onward");
pub(crate) const PANIC: Call = call("panic");
pub(crate) const PANIC_LATER: Call = call("panic_later");
const METHODS: [&str; 8] = ["echo", "refuse", "context", "wait", "large", "panic", "panic_later", "onward"];

const fn call(method: &'static str) -> Call {
    Call { contract: "probe", version: 1, method, repeat: Repeat::Once }
}

/// What the service does is steered and watched from here.
#[derive(Debug)]
pub(crate) struct Probe {
    /// A permit lets one `wait` go on.
    pub(crate) gate: Semaphore,
    /// `wait`s that began, and `wait`s whose future was dropped before its end.
    pub(crate) began: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
    /// `wait`s that were let go on.
    pub(crate) ended: AtomicUsize,
    /// Every call that reached a handler.
    pub(crate) ran: AtomicUsize,
    /// How often `echo` saw each argument.
    pub(crate) seen: Mutex<HashMap<Bytes, usize>>,
    changed: Notify,
}

impl Default for Probe {
    fn default() -> Probe {
        Probe {
            gate: Semaphore::new(0),
            began: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            ran: AtomicUsize::new(0),
            seen: Mutex::default(),
            changed: Notify::new(),
        }
    }
}

impl Probe {
    /// Waits until `look` is true of this probe.
    pub(crate) async fn until(&self, what: &str, look: impl Fn(&Probe) -> bool) {
        let waited = async {
            loop {
                let changed = self.changed.notified();
                if look(self) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, waited).await.is_err() {
            panic!("not in time: {what}; last seen: {self:?}");
        }
    }
}

/// Longer than anything here takes, unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

struct CountsDrop(Option<Arc<Probe>>);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        if let Some(probe) = self.0.take() {
            probe.dropped.fetch_add(1, Ordering::SeqCst);
            probe.changed.notify_waiters();
        }
    }
}

impl Dispatch for Probe {
    fn dispatch(
        self: Arc<Self>,
        method: &str,
        cx: Context,
        arguments: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, CallError<Bytes>>> {
        self.ran.fetch_add(1, Ordering::SeqCst);
        match method {
            "echo" => Box::pin(async move {
                *self.seen.lock().expect("nobody panicked").entry(arguments.clone()).or_default() += 1;
                Ok(arguments)
            }),
            "refuse" => Box::pin(async move { Err(CallError::Refused(arguments)) }),
            "context" => Box::pin(async move {
                let left = cx.deadline().left(divisi_call::now()).map(|left| left.as_millis());
                let (trace, caller, key) = (cx.trace(), cx.caller(), cx.idempotency_key());
                Ok(Bytes::from(format!("{trace} {caller} {key:?} {left:?}")))
            }),
            "wait" => Box::pin(async move {
                let mut dropped = CountsDrop(Some(Arc::clone(&self)));
                self.began.fetch_add(1, Ordering::SeqCst);
                self.changed.notify_waiters();
                let permit = self.gate.acquire().await;
                dropped.0 = None;
                self.ended.fetch_add(1, Ordering::SeqCst);
                self.changed.notify_waiters();
                permit.map_err(|_| CallError::unknown(CauseKind::Bug, "the gate is closed"))?.forget();
                Ok(arguments)
            }),
            "onward" => Box::pin(async move {
                let key = cx.for_call(&ServiceName::from("posts"), true).idempotency_key().map(str::to_owned);
                Ok(Bytes::from(format!("{key:?}")))
            }),
            "large" => Box::pin(async move {
                let n: usize = String::from_utf8_lossy(&arguments).parse().unwrap_or(0);
                Ok(Bytes::from(vec![7; n]))
            }),
            "panic" => panic!("at once"),
            "panic_later" => Box::pin(async move {
                tokio::task::yield_now().await;
                panic!("later")
            }),
            other => {
                let error = divisi_call::dispatch::no_such_method("probe", other);
                Box::pin(async move { Err(error) })
            }
        }
    }
}

/// The contract of the probe, as the macro would make it.
pub(crate) fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let method = |name: &&str| Method {
            name: (*name).to_owned(),
            docs: String::new(),
            repeat: Repeat::Once,
            routes: Vec::new(),
            arguments: Vec::new(),
            answer: Default::default(),
            refusals: Vec::new(),
        };
        let methods = METHODS.iter().map(method).collect();
        Contract { name: "probe".to_owned(), version: 1, docs: String::new(), methods }
    })
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) addr: String,
    pub(crate) probe: Arc<Probe>,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start(limits: Limits) -> Running {
        Running::start_at("127.0.0.1:0", limits).await
    }

    pub(crate) async fn start_at(addr: &str, limits: Limits) -> Running {
        Running::start_with(addr, limits, Arc::default()).await
    }

    /// The same service as one that ran before.
    pub(crate) async fn start_with(addr: &str, limits: Limits, probe: Arc<Probe>) -> Running {
        let served = Served::new(contract(), Arc::clone(&probe) as Arc<dyn Dispatch>, Arc::new(()));
        let services = vec![(ServiceName::from("posts"), vec![served])];
        let server = Server::bind(addr, services, limits).await.expect("the address is free");
        let addr = server.local_addr().expect("it is bound").to_string();
        let (shutdown, asked) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async {
            let _ = asked.await;
        }));
        Running { addr, probe, shutdown: Some(shutdown), task }
    }

    pub(crate) fn client(&self) -> Client {
        client(&self.addr, Limits::default())
    }

    /// Asks it to shut down.
    pub(crate) fn shut_down(&mut self) {
        self.shutdown = None;
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> Drained {
        in_time("the server ends", self.task).await.expect("the server does not panic")
    }

    /// Ends it as a crash would: every connection is cut.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "it was cut, it did not end");
    }
}

pub(crate) fn client(addr: &str, limits: Limits) -> Client {
    Client::new(addr, ClientOptions { name: "tests".to_owned(), limits, ..ClientOptions::default() })
}

pub(crate) fn cx() -> Context {
    Context::root("tests")
}

pub(crate) fn cx_for(left: Duration) -> Context {
    cx().with_deadline(Deadline::after(divisi_call::now(), left))
}

pub(crate) async fn ask(
    client: &Client,
    call: &'static Call,
    cx: &Context,
    arguments: &[u8],
) -> Result<Bytes, CallError<Bytes>> {
    let service = ServiceName::from("posts");
    let request = Request { service: &service, call, cx, arguments: Bytes::copy_from_slice(arguments) };
    in_time("the call has an outcome", client.call(request)).await
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("not in time: {what}"),
    }
}

/// Whether it is `NotRun` of this kind; the message otherwise.
#[track_caller]
pub(crate) fn assert_not_run(outcome: &Result<Bytes, CallError<Bytes>>, kind: CauseKind, text: &str) {
    match outcome {
        Err(CallError::NotRun(cause)) if cause.kind == kind && cause.message.contains(text) => {}
        other => panic!("expected not-run {kind:?} with `{text}`, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_may_have_run(outcome: &Result<Bytes, CallError<Bytes>>, kind: CauseKind, text: &str) {
    match outcome {
        Err(CallError::MayHaveRun(cause)) if cause.kind == kind && cause.message.contains(text) => {}
        other => panic!("expected may-have-run {kind:?} with `{text}`, got {other:?}"),
    }
}
