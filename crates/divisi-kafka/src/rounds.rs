//! Questions that many ask at the same moment, and that are asked once.
//!
//! A relay starts with one question a lane, and with one publish a lane; one look at a topic answers all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use divisi_events::carrier::CarrierError;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// What came of a question; `None` as long as it is not known.
type Answer<T> = Option<Result<T, CarrierError>>;

/// Whose answer one gets who asks while the same is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// That of a question that goes on already.
    Running,
    /// Only that of one that has yet to begin: the answer is then not older than the question.
    Waiting,
}

/// Questions by what they are about. What was once asked about is remembered: topics are few.
pub(crate) struct Rounds<T> {
    join: Join,
    about: Mutex<HashMap<String, Arc<About<T>>>>,
}

struct About<T> {
    /// What can be joined.
    open: Mutex<Option<watch::Receiver<Answer<T>>>>,
    /// Held while a question goes on: the next one waits.
    turn: Mutex<()>,
}

impl<T: Clone + Send + Sync + 'static> Rounds<T> {
    pub(crate) fn new(join: Join) -> Rounds<T> {
        Rounds { join, about: Mutex::default() }
    }

    /// Asks on a thread for blocking work, or waits for what somebody else has asked. A question that was begun is
    /// asked to its end.
    pub(crate) async fn ask(
        &self,
        about: &str,
        ask: impl FnOnce() -> Result<T, CarrierError> + Send + 'static,
    ) -> Result<T, CarrierError> {
        let mut answer = self.join_or_begin(about, ask);
        let known = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        // Nobody answers when the runtime ends or the question has panicked.
        known.unwrap_or_else(|| Err(CarrierError::Unavailable("nobody answered the question".to_owned())))
    }

    fn join_or_begin(
        &self,
        about: &str,
        ask: impl FnOnce() -> Result<T, CarrierError> + Send + 'static,
    ) -> watch::Receiver<Answer<T>> {
        let about = Arc::clone(lock(&self.about).entry(about.to_owned()).or_default());
        let mut open = lock(&about.open);
        // One that nobody will answer any more is not joined: it has panicked.
        if let Some(joined) = open.as_ref().filter(|joined| joined.has_changed().is_ok()) {
            return joined.clone();
        }
        let (say, answer) = watch::channel(None);
        *open = Some(answer.clone());
        drop(open);
        let join = self.join;
        spawn_blocking(move || {
            let _turn = lock(&about.turn);
            if join == Join::Waiting {
                *lock(&about.open) = None;
            }
            let answer = ask();
            if join == Join::Running {
                *lock(&about.open) = None;
            }
            say.send_replace(Some(answer));
        });
        answer
    }
}

impl<T> Default for About<T> {
    fn default() -> About<T> {
        About { open: Mutex::new(None), turn: Mutex::new(()) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
