//! The promises of the consumer, each over a database of its own.

use divisi_events::conformance::consumer;

use crate::fixture::databases;
use crate::staged::Strict;
use divisi_store::Isolation;

macro_rules! promises {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            consumer::$name(&databases().await.stores()).await;
        }
    )*};
}

divisi_events::consumer_promises!(promises);

/// The same in a service whose transactions are stricter.
mod strict {
    use super::*;

    macro_rules! promises {
        ($($name:ident),* $(,)?) => {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
                    consumer::$name(&Strict(databases().await.stores(), isolation)).await;
                }
            }
        )*};
    }

    divisi_events::consumer_promises!(promises);
}
