//! What a service counts: its log and who is behind in it, what it applies, what it has parked.

use divisi_contract::event::LANES;
use divisi_events::consumer::LaneState;
use divisi_events::lane::Input;
use divisi_store::outbox::PageWanted;
use divisi_store::parked::Counts;
use divisi_store::{Activity, Lane, Pos, Store};

use super::{Applying, Desk};
use crate::metrics::{Figure, names, number};
use crate::operator::protocol::Refused;

impl Desk {
    pub(super) async fn figures(&self) -> Result<Vec<Figure>, Refused> {
        let mut figures = self.of_log().await?;
        self.of_readers(&mut figures).await?;
        of_store(&self.store, &[("service", self.service().as_str())], &mut figures).await;
        for applying in self.applying().await? {
            if let Some(version) = applying.version {
                let labels = [("consumer", &*applying.consumer), ("version", &version.to_string())];
                of_store(&applying.store, &labels, &mut figures).await;
            }
            of_consumer(&applying, &mut figures).await?;
        }
        Ok(figures)
    }

    async fn of_log(&self) -> Result<Vec<Figure>, Refused> {
        let mut figures = Vec::new();
        for topic in self.store.topics() {
            let wanted = PageWanted {
                topic: (*topic).into(),
                lanes: (0..LANES).map(|lane| (Lane(lane), Pos(0))).collect(),
                max_records: 0,
                max_bytes: 0,
            };
            let page = self.store.backend().page(wanted).await?;
            let labels = [("service", self.service().as_str()), ("topic", *topic)];
            let end = page.heads.iter().map(|(_, head)| head.0).sum();
            figures.push(Figure::new(names::LOG_END, &labels, end));
            figures.push(Figure::new(names::LOG_EPOCH, &labels, page.epochs.current().0));
        }
        Ok(figures)
    }

    async fn of_readers(&self, figures: &mut Vec<Figure>) -> Result<(), Refused> {
        for reader in self.readers().await? {
            let labels = [
                ("service", self.service().as_str()),
                ("topic", reader.topic.as_str()),
                ("reader", reader.name.as_str()),
            ];
            let oldest = reader.unread_since.map_or(0, |since| reader.now.0.saturating_sub(since.0).max(0));
            figures.push(Figure::new(names::READER_UNREAD, &labels, reader.unread));
            figures.push(Figure::new(names::READER_OLDEST_UNREAD, &labels, oldest / 1_000_000));
        }
        Ok(())
    }
}

/// Of one database, or of a schema of it.
async fn of_store(store: &Store, labels: &[(&str, &str)], figures: &mut Vec<Figure>) {
    let Activity { transactions, commits, waiting, wal_bytes } = store.backend().activity().await;
    figures.push(Figure::new(names::STORE_TRANSACTIONS, labels, number(transactions)));
    figures.push(Figure::new(names::STORE_COMMITS, labels, number(commits)));
    figures.extend(waiting.map(|n| Figure::new(names::STORE_WAITING, labels, number(n))));
    figures.extend(wal_bytes.map(|bytes| Figure::new(names::STORE_WAL, labels, number(bytes))));
}

/// Of the reactions, or of a version of a projection.
async fn of_consumer(applying: &Applying, figures: &mut Vec<Figure>) -> Result<(), Refused> {
    let version = applying.version.map(|version| version.to_string());
    let mut own = vec![("consumer", &*applying.consumer)];
    own.extend(version.as_deref().map(|version| ("version", version)));
    let status = applying.observer.as_ref().map(|observer| observer.status()).unwrap_or_default();
    for input in &status.inputs {
        let mut labels = own.clone();
        labels.extend([("source", input.source.as_str()), ("topic", input.topic)]);
        figures.push(Figure::new(names::CONSUMER_EPOCH, &labels, input.epoch.0));
        for (name, count) in [
            (names::CONSUMER_HANDLED, input.handled),
            (names::CONSUMER_REPEATS, input.repeats),
            (names::CONSUMER_GAPS, input.gaps),
            (names::CONSUMER_FALLS, input.falls),
        ] {
            figures.push(Figure::new(name, &labels, number(count)));
        }
        figures.push(Figure::new(names::CONSUMER_LANES, &labels, number(input.n_here() as u64)));
        let carried = input
            .lanes
            .iter()
            .filter(|lane| lane.state != LaneState::Elsewhere && lane.input == Input::Carrier)
            .count();
        figures.push(Figure::new(names::CONSUMER_CARRIED, &labels, number(carried as u64)));
    }
    let Counts { waiting, retrying, dead, events } = applying.parked.counts().await?;
    for (state, count) in [("waiting", waiting), ("retrying", retrying), ("dead", dead)] {
        let mut labels = own.clone();
        labels.push(("state", state));
        figures.push(Figure::new(names::PARKED_KEYS, &labels, count));
    }
    figures.push(Figure::new(names::PARKED_EVENTS, &own, events));
    Ok(())
}
