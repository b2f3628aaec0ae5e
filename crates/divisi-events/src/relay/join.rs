//! Waits for several futures at once.

use std::future::poll_fn;
use std::task::Poll;

use divisi_call::BoxFuture;

enum Slot<'a, T> {
    Pending(BoxFuture<'a, T>),
    Done(Option<T>),
}

/// Runs all of them at once; what they bring, in their order.
pub(super) async fn all<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut slots: Vec<Slot<'_, T>> = futures.into_iter().map(Slot::Pending).collect();
    poll_fn(|task| {
        let mut pending = false;
        for slot in &mut slots {
            if let Slot::Pending(future) = slot {
                match future.as_mut().poll(task) {
                    Poll::Ready(value) => *slot = Slot::Done(Some(value)),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    let done = slots.into_iter().filter_map(|slot| match slot {
        Slot::Done(value) => value,
        Slot::Pending(_) => None,
    });
    done.collect()
}
