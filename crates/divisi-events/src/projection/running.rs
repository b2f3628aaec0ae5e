//! One version of a projection that is being kept up to date: a consumer as a task, stopped or aborted by its owner.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use divisi_store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Input, ProjectionSpec};
use crate::consumer::{Consumer, ConsumerOptions, Observer, Parked, Share};

/// The versions of a projection that are kept up to date now, for an operator. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Versions(Arc<watch::Sender<Vec<Version>>>);

/// A version of a projection that is kept up to date.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its number.
    pub number: u32,
    /// Its store.
    pub store: Store,
    /// How far it is.
    pub observer: Observer,
    /// Its parked keys.
    pub parked: Parked,
}

/// The consumer of one version, as a task of the projection that holds this.
pub(super) struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    versions: Versions,
    number: u32,
}

impl Running {
    pub(super) fn start(
        spec: &ProjectionSpec,
        (versions, number): (&Versions, u32),
        store: Store,
        inputs: &[Input],
        (share, options): (Option<Arc<dyn Share>>, ConsumerOptions),
    ) -> Running {
        let reader = format!("{}.{}", spec.service, spec.name);
        let mut consumer = Consumer::new(reader, store.clone(), spec.handlers.clone()).options(options);
        if let Some(share) = share {
            consumer = consumer.share(share);
        }
        for input in inputs {
            consumer = consumer.from(input.source.clone(), input.topic, input.feed.clone());
            if let Some(carrier) = &input.carrier {
                consumer = consumer.via(Arc::clone(carrier));
            }
        }
        let (observer, parked) = (consumer.observe(), consumer.parked());
        versions.0.send_modify(|all| all.push(Version { number, store, observer, parked }));
        let (stop, mut stopping) = watch::channel(false);
        let task = tokio::spawn(async move {
            let stopped = async move {
                // An owner that is gone wants a stop as well.
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            consumer.run(stopped).await;
        });
        Running { stop, task, versions: versions.clone(), number }
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
        self.versions.0.send_modify(|all| all.retain(|version| version.number != self.number));
    }
}

impl Versions {
    /// Those that run now; none while the projection starts, stops or switches.
    pub fn running(&self) -> Vec<Version> {
        self.0.borrow().clone()
    }

    /// Waits until one of them reads no more of something, which it does not again before the projection starts anew;
    /// which, and why.
    pub async fn ended(&self) -> String {
        let mut changes = self.0.subscribe();
        loop {
            let running = changes.borrow_and_update().clone();
            let mut waits: Vec<Pin<Box<dyn Future<Output = String> + Send + '_>>> =
                running.iter().map(|version| Box::pin(version.ended()) as _).collect();
            let any = poll_fn(|task| {
                let ready = waits.iter_mut().find_map(|wait| match wait.as_mut().poll(task) {
                    Poll::Ready(why) => Some(why),
                    Poll::Pending => None,
                });
                ready.map_or(Poll::Pending, Poll::Ready)
            });
            tokio::select! {
                why = any => return why,
                changed = changes.changed() => if changed.is_err() { unreachable!("the sender lives in `self`") },
            }
        }
    }
}

impl Version {
    async fn ended(&self) -> String {
        format!("version {}: {}", self.number, self.observer.ended().await)
    }
}
