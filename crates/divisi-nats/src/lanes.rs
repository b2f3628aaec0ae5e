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
    /// The last sequence of the lane's subject, if it is known for certain; 0 for none.
    last: Option<u64>,
    /// Since when a relay with a higher token, whose last record lies there, has been in the way.
    fenced: Option<(u64, Instant)>,
}

/// What is known of a lane before a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The subject's last sequence.
    At(u64),
    /// It is to be looked for.
    Unknown,
    /// Something was published there, to a stream that is no more.
    OtherStream,
}

impl Lanes {
    /// What is known of a lane; another stream than before is said once.
    pub(crate) fn end(&self, stream: &StreamId, name: &str, lane: Lane) -> End {
        let mut known = self.lock();
        let key = (name.to_owned(), lane);
        match known.get(&key) {
            Some(known) if known.stream == *stream => known.last.map_or(End::Unknown, End::At),
            Some(_) => {
                // All lanes of it: the relay begins anew with all of them.
                known.retain(|(of, _), known| of != name || known.stream == *stream);
                End::OtherStream
            }
            None => End::Unknown,
        }
    }

    /// The subject ends there.
    pub(crate) fn set(&self, stream: &StreamId, name: &str, lane: Lane, last: Option<u64>) {
        let mut known = self.lock();
        if known.len() >= LANES_MAX {
            known.clear();
        }
        known.insert((name.to_owned(), lane), Known { stream: stream.clone(), last, fenced: None });
    }

    /// A relay with a higher token has published `last`: whether it is to be believed that it still does.
    pub(crate) fn is_fenced(&self, stream: &StreamId, name: &str, lane: Lane, last: u64) -> bool {
        let mut known = self.lock();
        let entry = known.entry((name.to_owned(), lane)).or_insert_with(|| Known {
            stream: stream.clone(),
            last: None,
            fenced: None,
        });
        entry.last = None;
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
        assert_eq!(lanes.end(&old, "a", LANE), End::Unknown);
        lanes.set(&old, "a", LANE, Some(7));
        lanes.set(&old, "a", Lane(4), Some(9));
        assert_eq!(lanes.end(&old, "a", LANE), End::At(7));
        assert_eq!(lanes.end(&new, "a", LANE), End::OtherStream);
        assert_eq!(lanes.end(&new, "a", LANE), End::Unknown);
        assert_eq!(lanes.end(&new, "a", Lane(4)), End::Unknown, "the relay begins anew with all lanes");
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
