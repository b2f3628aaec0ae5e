//! One version of a projection that is being kept up to date: a consumer as a task, stopped or aborted by its owner.

use divisi_store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Input, ProjectionSpec};
use crate::consumer::{Consumer, ConsumerOptions};

/// The consumer of one version, as a task of the projection that holds this.
pub(super) struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(
        spec: &ProjectionSpec,
        store: Store,
        inputs: &[Input],
        options: ConsumerOptions,
    ) -> Running {
        let reader = format!("{}.{}", spec.service, spec.name);
        let mut consumer = Consumer::new(reader, store, spec.handlers.clone()).options(options);
        for input in inputs {
            consumer = consumer.from(input.source.clone(), input.topic, input.feed.clone());
        }
        let (stop, mut stopping) = watch::channel(false);
        let task = tokio::spawn(async move {
            let stopped = async move {
                // An owner that is gone wants a stop as well.
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            consumer.run(stopped).await;
        });
        Running { stop, task }
    }

    /// Lets the batch under way end, then stops.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        // A panic of the consumer has been reported where it happened.
        let _ = (&mut self.task).await;
    }

    /// Ready when the consumer has stopped by itself.
    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
