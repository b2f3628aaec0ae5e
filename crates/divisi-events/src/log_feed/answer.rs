//! How a fetch is answered: at once when there is something, else when a wanted lane grows or the time is over.

use std::sync::Arc;

use divisi_contract::event::LANES;
use divisi_contract::{Answer, CallError, CauseKind, Context, refuse};
use divisi_store::outbox::{Page, PageWanted};
use divisi_store::{Committed, Epoch, Epochs, Lane, Pos, StoreError, StoreErrorKind};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::wanted::{Standing, Wanted};
use super::{Log, is_reader_of};
use crate::fetch::{Fetch, FetchRefused, Fetched};
use crate::tail::{Look, TooManyWaiting, TopicTail};

/// How far ahead of the clock a reader's epoch may be and still be believed. Epochs are microseconds of the clock or a
/// little more, so that one which is a century ahead was never given by a database.
const EPOCH_BELIEVED_MICROS: i64 = 100 * 365 * 24 * 3_600 * 1_000_000;

/// What was found for a fetch.
enum Found {
    /// What it is to be told now.
    News(Fetched),
    /// Ends and epochs, and no record: worth waiting, or until a time when the database is to be asked.
    Nothing(Fetched, Option<Instant>),
}

impl Log {
    /// Answers a fetch of `cx`'s caller: at once when there is something, else when a wanted lane grows, a new epoch
    /// begins, or its time is over. Dropping the future leaves nothing behind.
    pub async fn fetch(&self, cx: &Context, want: Fetch) -> Answer<Fetched, FetchRefused> {
        let Some(tail) = self.tail.topic(&want.topic) else { return refuse(FetchRefused::NoSuchTopic) };
        if !self.may_read(cx.caller(), &want.reader, &want.topic) {
            return refuse(FetchRefused::NotAllowed);
        }
        let want = Wanted::new(want)?;
        if is_reader_of(cx.caller(), &want.reader) {
            self.told.note(&want.reader, &want.topic, &want.told);
        }
        let until = Instant::now() + want.wait;
        let mut waiting = None;
        loop {
            let (nothing, by) = match self.look(tail, &want).await? {
                Found::News(fetched) => return Ok(fetched),
                Found::Nothing(fetched, by) => (fetched, by),
            };
            if want.lanes.is_empty() || (by.is_none() && Instant::now() >= until) {
                return Ok(nothing);
            }
            let until = by.unwrap_or(until);
            match &mut waiting {
                // And look again: a commit may have slipped in between.
                None => waiting = Some(tail.register(&want.lanes).map_err(too_many)?),
                // The time being over ends in one more look, so that the ends are of now.
                Some(waiting) => drop(timeout_at(until, waiting.woken()).await),
            }
        }
    }

    async fn look(&self, tail: &Arc<TopicTail>, want: &Wanted) -> Answer<Found, FetchRefused> {
        loop {
            if tail.is_closed() {
                return Err(draining());
            }
            let (page, by) = match self.glance(tail, want) {
                Look::Covered(page, by) => (page, by),
                Look::Behind | Look::Unknown => self.read(tail, want).await?,
            };
            match want.standing(page.epochs.current()) {
                Standing::Above(epoch) => self.begin_epoch_above(epoch, page.epochs.current(), want).await?,
                // The list alone: what the positions mean there, only the reader can tell.
                Standing::Older => return Ok(Found::News(Fetched { records: Vec::new(), ..fetched(page) })),
                Standing::Entered => return found(page, by, want),
            }
        }
    }

    /// What the tail has. A reader that must enter another epoch first gets no records, so none are looked for.
    fn glance(&self, tail: &TopicTail, want: &Wanted) -> Look {
        let entered = tail.epoch().is_none_or(|epoch| want.standing(epoch) == Standing::Entered);
        tail.look(&want.lanes, if entered { want.max_records } else { 0 }, want.max_bytes)
    }

    /// A page of the database, unless the tail can answer when it is this fetch's turn.
    async fn read(&self, tail: &TopicTail, want: &Wanted) -> Answer<(Page, Option<Instant>), FetchRefused> {
        let mut turn = Arc::clone(&self.pages).acquire_owned().await.map_err(|_| draining())?;
        let mut look = self.glance(tail, want);
        if matches!(look, Look::Unknown) {
            let life = tail.life();
            let (page, kept) = self.page(whole(&want.topic), turn).await?;
            turn = kept;
            tail.learn(life, &page);
            look = self.glance(tail, want);
        }
        if let Look::Covered(page, by) = look {
            return Ok((page, by));
        }
        let (page, _turn) = self.page(want.page(want.max_records), turn).await?;
        if tail.epoch().is_some_and(|known| known < page.epochs.current()) {
            // Begun by another instance of the service: what is in memory is of the life before.
            tail.forget();
        }
        Ok((page, None))
    }

    /// A page of the database, whose reading goes on to its end, in its turn, when nobody waits for it any more: a connection that
    /// is left in the middle of a question is of no more use.
    async fn page(
        &self,
        wanted: PageWanted,
        turn: OwnedSemaphorePermit,
    ) -> Result<(Page, OwnedSemaphorePermit), StoreError> {
        let store = self.store.clone();
        let read = tokio::spawn(async move { (store.backend().page(wanted).await, turn) });
        let (page, turn) = read.await.map_err(|failed| {
            StoreError::new(StoreErrorKind::Other, "reading a page of the log was interrupted")
                .with_source(failed)
        })?;
        Ok((page?, turn))
    }

    /// Begins an epoch above a reader's, where this process alone owns the database: it is a restored copy, and the
    /// reader has seen more of it than it remembers. Elsewhere an old primary must not answer.
    async fn begin_epoch_above(
        &self,
        epoch: Epoch,
        current: Epoch,
        want: &Wanted,
    ) -> Answer<(), FetchRefused> {
        let backend = self.store.backend();
        let believed = epoch.0 <= backend.clock().now().0.saturating_add(EPOCH_BELIEVED_MICROS);
        if !backend.one_owner() || !believed {
            tracing::error!(
                service.name = %self.store.service(),
                event.topic = %want.topic,
                reader = %want.reader,
                "reader `{}` has entered epoch {}, this log is in {}: it does not answer; is it an old primary?",
                want.reader, epoch, current
            );
            return refuse(FetchRefused::EpochAhead { current });
        }
        let _alone = self.beginning.acquire().await.map_err(|_| draining())?;
        let now = backend.page(PageWanted { lanes: Vec::new(), ..want.page(0) }).await?.epochs.current();
        if now < epoch {
            let begun = backend.begin_epoch(epoch).await?;
            tracing::warn!(
                service.name = %self.store.service(),
                reader = %want.reader,
                "reader `{}` has entered epoch {}, above {}: this database went back in time; epoch {} begins",
                want.reader, epoch, now, begun
            );
            if begun <= epoch {
                return refuse(FetchRefused::EpochAhead { current: begun });
            }
        }
        self.tail.forget();
        Ok(())
    }
}

fn found(page: Page, by: Option<Instant>, want: &Wanted) -> Answer<Found, FetchRefused> {
    if want.max_records == 0 {
        return Ok(Found::News(fetched(page)));
    }
    // A page of the database brings the floors in the order of the lanes; the tail has what it has, and no floors.
    let below = page.floors.iter().zip(&want.lanes).find(|((_, floor), (_, after))| after < floor);
    if let Some((&(lane, floor), _)) = below {
        return refuse(FetchRefused::RetentionExceeded { lane, floor });
    }
    // It is in the epoch of today: the list would say nothing new, and may be long where a reader is long gone.
    let epochs = Epochs { known: vec![page.epochs.current()], forks: Vec::new() };
    let fetched = Fetched { epochs, ..fetched(page) };
    Ok(if fetched.records.is_empty() { Found::Nothing(fetched, by) } else { Found::News(fetched) })
}

fn fetched(page: Page) -> Fetched {
    Fetched { records: page.records, heads: page.heads, epochs: page.epochs }
}

/// Ends and epochs of a whole topic.
fn whole(topic: &Arc<str>) -> PageWanted {
    let lanes = (0..LANES).map(|lane| (Lane(lane), Pos(0))).collect();
    PageWanted { topic: Arc::clone(topic), lanes, max_records: 0, max_bytes: 0 }
}

fn draining<R>() -> CallError<R> {
    CallError::not_run(CauseKind::Draining, "the service is shutting down")
}

fn too_many<R>(error: TooManyWaiting) -> CallError<R> {
    CallError::not_run(CauseKind::Overloaded, error.to_string())
}
