//! Has services count: those of this process at their desks, others on this machine through their sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::ServiceName;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::answers::{Standing, Unread};
use super::desk::Desk;
use super::office;
use super::protocol::{Question, Reply};
use super::socket;
use crate::metrics::{Figure, names};

/// How long a service may take to answer, before it counts as down: shorter than the patience of those who ask.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// The services that are asked.
pub(crate) struct Counting {
    /// Those of this process.
    pub(crate) here: BTreeMap<ServiceName, Arc<Desk>>,
    /// Those that may run beside it.
    pub(crate) others: Vec<ServiceName>,
    /// Where those have their sockets.
    pub(crate) data: Option<PathBuf>,
}

/// What came of a question.
enum Asked<T> {
    Answer(T),
    /// It runs here, and does not answer.
    Silent,
    /// It is on another machine, or nowhere.
    Elsewhere,
}

impl Counting {
    /// What all of them count. One that does not answer is said to be down, and asked no more.
    pub(crate) async fn figures(&self) -> Vec<Figure> {
        let (mut figures, mut well) = (Vec::new(), BTreeSet::new());
        for service in self.here.keys().chain(&self.others) {
            let counted = self.ask::<Vec<Figure>>(service, Question::Figures).await;
            let up = match &counted {
                Asked::Answer(_) => 1,
                Asked::Silent => 0,
                Asked::Elsewhere => continue,
            };
            figures.push(Figure::new(names::SERVICE_UP, &[("service", service.as_str())], up));
            if let Asked::Answer(counted) = counted {
                figures.extend(counted);
                well.insert(service);
            }
        }
        for service in &well {
            self.behind(service, &well, &mut figures).await;
        }
        figures
    }

    /// How far the consumers of a service are behind: they say where they are, the sources what comes after that.
    async fn behind(&self, service: &ServiceName, well: &BTreeSet<&ServiceName>, figures: &mut Vec<Figure>) {
        let Asked::Answer(standings) = self.ask::<Vec<Standing>>(service, Question::Standing).await else {
            return;
        };
        for Standing { reader, version, source, topic, lanes, .. } in standings {
            let question = Question::Unread { topic: topic.clone(), lanes };
            let Some(owner) = well.iter().find(|owner| owner.as_str() == source) else { continue };
            let Asked::Answer(unread) = self.ask::<Unread>(owner, question).await else { continue };
            let version = version.map(|version| version.to_string());
            let mut labels = vec![("consumer", reader.as_str())];
            labels.extend(version.as_deref().map(|version| ("version", version)));
            labels.extend([("source", source.as_str()), ("topic", topic.as_str())]);
            let oldest = unread.since.map_or(0, |since| unread.now.0.saturating_sub(since.0).max(0));
            figures.push(Figure::new(names::CONSUMER_UNREAD, &labels, unread.n_events));
            figures.push(Figure::new(names::CONSUMER_OLDEST_UNREAD, &labels, oldest / 1_000_000));
        }
    }

    async fn ask<T: DeserializeOwned>(&self, service: &ServiceName, question: Question) -> Asked<T> {
        let asked = timeout(ANSWER_WITHIN, async {
            if let Some(desk) = self.here.get(service) {
                return Some(Some(desk.answer(question).await));
            }
            let Some(data) = &self.data else { return Some(None) };
            match socket::connect(data, service.as_str()).await.ok()? {
                Some(stream) => office::over(stream, service, &question).await.ok().map(Some),
                None => Some(None),
            }
        });
        match asked.await.ok().flatten() {
            Some(Some(Reply::Answer(value))) => {
                serde_json::from_value(value).map_or(Asked::Silent, Asked::Answer)
            }
            Some(None) => Asked::Elsewhere,
            Some(Some(Reply::Refused(_))) | None => Asked::Silent,
        }
    }
}
