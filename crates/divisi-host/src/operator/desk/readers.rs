//! Who reads the service's log.

use divisi_store::reader;
use divisi_store::{Class, Read, StoreError, Tx, TxFailed};

use super::Desk;
use crate::operator::answers::Reader;
use crate::operator::protocol::Refused;

impl Desk {
    pub(super) async fn readers(&self) -> Result<Vec<Reader>, Refused> {
        let look = async |read: &mut Read| Ok::<_, StoreError>((reader::readers(read).await?, read.now()));
        let (readers, now) = self.store.read(look).await?;
        let readers = readers.into_iter().map(|reader| Reader {
            unread: reader.unread(),
            unread_since: reader.unread_since(),
            seen_at: reader.seen_at(),
            now,
            missing: reader.is_unseen(now),
            in_the_app: self
                .listeners
                .iter()
                .any(|(name, topic)| *name == reader.name && *topic == &*reader.topic),
            name: reader.name.to_string(),
            topic: reader.topic.to_string(),
        });
        Ok(readers.collect())
    }

    /// Forgets a reader for good, so that retention no longer waits for it; how many topics it read.
    pub(super) async fn drop_reader(&self, name: &str) -> Result<usize, Refused> {
        if self.listeners.iter().any(|(listener, _)| **listener == *name) {
            return Err(Refused::new(format!(
                "`{name}` listens to `{}` in this app, and would be a reader again at the next start; take it out of \
                 the app first",
                self.service()
            )));
        }
        let n_topics = self.readers().await?.iter().filter(|reader| reader.name == name).count();
        if n_topics == 0 {
            return Err(Refused::new(format!("`{}` has no reader `{name}`", self.service())));
        }
        let dropped =
            self.store.run(Class::Upkeep, async |tx: &mut Tx| reader::drop_reader(tx, name).await).await;
        match dropped {
            Ok(_) => Ok(n_topics),
            Err(TxFailed::Body(error) | TxFailed::DidNotHappen(error)) => Err(error.into()),
            Err(TxFailed::MayHaveHappened(_)) => {
                Err(Refused::new("it is not known whether it was done; look at the list"))
            }
        }
    }
}
