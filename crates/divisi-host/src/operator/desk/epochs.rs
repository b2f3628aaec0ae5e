//! The lives of a service's database.

use divisi_contract::event::LANES;
use divisi_store::{Lane, Pos, Read, StoreError, outbox};

use super::Desk;
use crate::operator::answers::EpochOf;
use crate::operator::protocol::Refused;

impl Desk {
    pub(super) async fn epochs(&self) -> Result<Vec<EpochOf>, Refused> {
        let lanes: Vec<(Lane, Pos)> = (0..LANES).map(|lane| (Lane(lane), Pos(0))).collect();
        let topics = self.store.topics();
        let look = async |read: &mut Read| {
            let mut forks = Vec::new();
            for topic in topics {
                forks.push((*topic, outbox::read_epochs(read, topic, &lanes).await?.forks));
            }
            Ok::<_, StoreError>((outbox::epochs_began(read).await?, forks))
        };
        let (began, forks) = self.store.read(look).await?;
        let of = |(epoch, began_at)| EpochOf {
            epoch,
            began_at,
            forks: forks
                .iter()
                .map(|(topic, forks)| {
                    let mine = forks.iter().filter(|fork| fork.epoch == epoch);
                    ((*topic).to_owned(), mine.map(|fork| fork.fork.0).sum())
                })
                .filter(|(_, n_events)| *n_events > 0)
                .collect(),
        };
        Ok(began.into_iter().map(of).collect())
    }
}
