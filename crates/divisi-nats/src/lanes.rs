//! What is known of the end of each lane on the carrier: what the next publish expects there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use divisi_store::Lane;
use tokio::time::Instant;

use crate::names::StreamId;

/// Lanes that are remembered at the most: a thousand topics of 64.
const LANES_MAX: usize = 65_536;
/// How long a relay with a higher token fences, without publishing anything more. A token can go back with the
/// database that counts it, and then nobody would publish ever again. 30 s: three times a lease.
const FENCED_MAX: Duration = Duration::from_secs(30);

/// The ends of lanes, as this process knows them.
#[derive(Default)]
pub(crate) struct Lanes {
    known: Mutex<HashMap<(String, Lane), Known>>,
}

#[derive(Clone)]
struct Known {
    stream: StreamId,
    /// The highest sequence of the lane's subject that was acknowledged or seen; 0 for none.
    acknowledged: u64,
    /// Whether the subject ends there for certain.
    exact: bool,
    /// Since when a relay with a higher token, whose last record lies there, has been in the way.
    fenced: Option<(u64, Instant)>,
}

/// What is known of a lane before a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The subject's last sequence.
    At(u64),
    /// It is to be looked for, here or behind.
    AtLeast(u64),
    /// Something was published there, to a stream that is no more.
    OtherStream,
}

impl Lanes {
    /// What is known of a lane; another stream than before is said once.
    pub(crate) fn end(&self, stream: &StreamId, name: &str, lane: Lane) -> End {
        let mut known = self.lock();
        let key = (name.to_owned(), lane);
        match known.get(&key) {
            Some(Known { stream: of, exact, acknowledged, .. }) if of == stream => {
                if *exact {
                    End::At(*acknowledged)
                } else {
                    End::AtLeast(*acknowledged)
                }
            }
            Some(_) => {
                known.retain(|(of, _), known| of != name || known.stream == *stream);
                End::OtherStream
            }
            None => End::AtLeast(0),
        }
    }

    /// What was known of the stream's lanes is not true any more. All of them: the relay begins anew with all.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().retain(|(of, _), _| of != name);
    }

    /// The subject ends there, or somewhere behind.
    pub(crate) fn set(&self, stream: &StreamId, name: &str, lane: Lane, acknowledged: u64, exact: bool) {
        let mut known = self.lock();
        if known.len() >= LANES_MAX {
            known.clear();
        }
        let stream = stream.clone();
        known.insert((name.to_owned(), lane), Known { stream, acknowledged, exact, fenced: None });
    }

    /// A relay with a higher token has published `last`: whether it is to be believed that it still does.
    pub(crate) fn is_fenced(&self, stream: &StreamId, name: &str, lane: Lane, last: u64) -> bool {
        let mut known = self.lock();
        let entry = known.entry((name.to_owned(), lane)).or_insert_with(|| Known {
            stream: stream.clone(),
            acknowledged: 0,
            exact: false,
            fenced: None,
        });
        entry.exact = false;
        match entry.fenced {
            Some((at, since)) if at == last => since.elapsed() < FENCED_MAX,
            _ => {
                entry.fenced = Some((last, Instant::now()));
                true
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Lane), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = Lane(3);

    #[test]
    fn another_stream_is_said_once() {
        let (old, new) = (StreamId("a@1".into()), StreamId("a@2".into()));
        let lanes = Lanes::default();
        assert_eq!(lanes.end(&old, "a", LANE), End::AtLeast(0));
        lanes.set(&old, "a", LANE, 7, true);
        lanes.set(&old, "a", Lane(4), 9, false);
        assert_eq!(lanes.end(&old, "a", LANE), End::At(7));
        assert_eq!(lanes.end(&old, "a", Lane(4)), End::AtLeast(9));
        assert_eq!(lanes.end(&new, "a", LANE), End::OtherStream);
        assert_eq!(lanes.end(&new, "a", LANE), End::AtLeast(0));
        assert_eq!(lanes.end(&new, "a", Lane(4)), End::AtLeast(0), "the relay begins anew with all lanes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_publishes_no_more_does_not_fence_for_ever() {
        let (stream, lanes) = (StreamId("a@1".into()), Lanes::default());
        assert!(lanes.is_fenced(&stream, "a", LANE, 7));
        tokio::time::advance(FENCED_MAX - Duration::from_secs(1)).await;
        assert!(lanes.is_fenced(&stream, "a", LANE, 7));
        assert!(lanes.is_fenced(&stream, "a", LANE, 8), "it publishes still");
        tokio::time::advance(FENCED_MAX).await;
        assert!(!lanes.is_fenced(&stream, "a", LANE, 8));
    }
}
