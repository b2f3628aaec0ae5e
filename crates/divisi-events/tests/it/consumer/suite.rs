//! The promises of the consumer, each over a database of its own.

use divisi_events::conformance::consumer;
use divisi_sqlite::{Options, Sqlite, Synchronous};

macro_rules! promises {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let dir = tempfile::tempdir().expect("a directory");
            // What a power cut would take is not looked at here.
            let options = Options { synchronous: Synchronous::Off, ..Options::default() };
            consumer::$name(&Sqlite::new(dir.path(), options)).await;
        }
    )*};
}

divisi_events::consumer_promises!(promises);

#[tokio::test]
async fn every_promise_on_one_thread() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options { synchronous: Synchronous::Off, ..Options::default() };
    consumer::consumer_suite(&Sqlite::new(dir.path(), options)).await;
}
