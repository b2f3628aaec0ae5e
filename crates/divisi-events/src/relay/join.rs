//! Waits for several futures at once.

use std::future::poll_fn;
use std::task::Poll;

use divisi_call::BoxFuture;

enum Slot<'a, T> {
    Pending(BoxFuture<'a, T>),
    Done(Option<T>),
}

/// Runs all of them at once; what they bring, in their order. `woken` hears how many are done whenever something has
/// come for those that are not, before anybody looks at it.
pub(super) async fn all<T>(futures: Vec<BoxFuture<'_, T>>, mut woken: impl FnMut(usize)) -> Vec<T> {
    let mut slots: Vec<Slot<'_, T>> = futures.into_iter().map(Slot::Pending).collect();
    let mut waits = false;
    poll_fn(|task| {
        if waits {
            woken(slots.iter().filter(|slot| matches!(slot, Slot::Done(_))).count());
        }
        waits = true;
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
