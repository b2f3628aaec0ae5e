//! Notices a partition that stands still though the broker holds more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divisi_events::carrier::CarrierError;
use rdkafka::consumer::Consumer;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::{Client, Following};

/// How often partitions that brought nothing are looked at. A lane notices within a second that it is behind, and goes
/// to the log; this mends the subscription.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// The ends of partitions, where they are known.
type Ends = Vec<(i32, i64)>;

/// What is known of partitions that bring nothing.
pub(super) struct Stalls {
    at: Instant,
    looking: Option<JoinHandle<Ends>>,
    /// Where each partition stood at the last look.
    before: BTreeMap<i32, i64>,
    /// Those that were behind at the last look, and where they stood.
    behind: BTreeMap<i32, i64>,
}

impl Stalls {
    pub(super) fn new() -> Stalls {
        Stalls {
            at: Instant::now() + LOOK_EVERY,
            looking: None,
            before: BTreeMap::new(),
            behind: BTreeMap::new(),
        }
    }

    /// Looks from time to time, for ever unless a partition stands still. Dropping the future loses nothing.
    pub(super) async fn look(
        &mut self,
        client: &Arc<Client>,
        topic: &str,
        partitions: &[Following],
    ) -> CarrierError {
        loop {
            if let Some(looking) = &mut self.looking {
                let ends = looking.await.unwrap_or_default();
                self.looking = None;
                self.at = Instant::now() + LOOK_EVERY;
                if let Some((partition, next, end)) = self.judge(&ends, partitions) {
                    return CarrierError::Unavailable(format!(
                        "partition {partition} of `{topic}` stands still at {next}, and the broker's end is {end}"
                    ));
                }
            }
            sleep_until(self.at).await;
            let quiet: Vec<i32> = partitions
                .iter()
                .filter(|following| self.before.get(&following.partition) == Some(&following.next))
                .map(|following| following.partition)
                .collect();
            self.before = partitions.iter().map(|following| (following.partition, following.next)).collect();
            let (client, topic) = (Arc::clone(client), topic.to_owned());
            self.looking = Some(spawn_blocking(move || ends(&client, &topic, &quiet)));
        }
    }

    /// The first partition that was behind twice without having moved: where it stands, and its end. An end below
    /// where it stands is another log than the one that was read.
    fn judge(&mut self, ends: &Ends, partitions: &[Following]) -> Option<(i32, i64, i64)> {
        let mut behind = BTreeMap::new();
        let mut stands = None;
        for following in partitions {
            let end =
                ends.iter().find(|(partition, _)| *partition == following.partition).map(|(_, end)| *end);
            if let Some(end) = end.filter(|end| *end != following.next) {
                if self.behind.get(&following.partition) == Some(&following.next) {
                    stands = stands.or(Some((following.partition, following.next, end)));
                }
                behind.insert(following.partition, following.next);
            }
        }
        self.behind = behind;
        stands
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        // One that has not begun is not begun; one that goes on ends by its own limit.
        if let Some(looking) = self.looking.take() {
            looking.abort();
        }
    }
}

/// Where partitions end; those that cannot be asked are left out: the broker is away, and that is no stall.
fn ends(client: &Client, topic: &str, partitions: &[i32]) -> Ends {
    let ask =
        |partition: &i32| Some((*partition, client.fetch_watermarks(topic, *partition, LOOK_WITHIN).ok()?.1));
    // The first that is not answered stands for all: a broker that hangs is not waited for once a partition.
    partitions.iter().map_while(ask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, next: i64) -> Following {
        Following { partition, next, end: 0, hinted: None }
    }

    #[test]
    fn a_partition_stands_still_when_it_was_behind_twice_and_did_not_move() {
        let mut stalls = Stalls::new();
        assert_eq!(stalls.judge(&vec![(0, 7), (1, 9)], &[at(0, 7), at(1, 5)]), None, "once is no stall");
        assert_eq!(stalls.judge(&vec![(1, 9)], &[at(0, 7), at(1, 6)]), None, "it has moved");
        assert_eq!(stalls.judge(&vec![(1, 9)], &[at(0, 7), at(1, 6)]), Some((1, 6, 9)));
    }

    #[test]
    fn an_end_below_what_was_read_is_another_log() {
        let mut stalls = Stalls::new();
        assert_eq!(stalls.judge(&vec![(0, 3)], &[at(0, 7)]), None);
        assert_eq!(stalls.judge(&vec![(0, 3)], &[at(0, 7)]), Some((0, 7, 3)));
    }

    #[test]
    fn a_broker_that_does_not_answer_is_no_stall() {
        let mut stalls = Stalls::new();
        assert_eq!(stalls.judge(&vec![(0, 9)], &[at(0, 7)]), None);
        assert_eq!(stalls.judge(&Vec::new(), &[at(0, 7)]), None);
        assert_eq!(stalls.judge(&vec![(0, 9)], &[at(0, 7)]), None, "counted anew");
    }
}
