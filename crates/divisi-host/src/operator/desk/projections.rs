//! The versions of projections, and a new one on demand.

use std::sync::Arc;
use std::time::Duration;

use divisi_events::projection::Projection as Opening;
use divisi_store::Read;
use divisi_store::projection::{self as rows, ProjectionRow};
use tokio::time::{Instant, sleep};

use super::{Desk, Folding, Life};
use crate::operator::answers::{Projection, Rebuilding};
use crate::operator::protocol::Refused;

/// How long an operator waits to hear that a rebuild has begun.
const BEGIN_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Desk {
    pub(super) async fn list_projections(&self) -> Result<Vec<Projection>, Refused> {
        let mut all = Vec::new();
        for folding in &self.projections {
            let Some(row) = self.row(folding).await? else { continue };
            all.push(Projection {
                name: folding.reader().to_string(),
                active: row.active,
                shape: row.shape,
                building: row.building.map(|(version, _)| version),
                previous: row.previous,
            });
        }
        Ok(all)
    }

    /// Begins a new version: at once where the projection runs, else when it starts.
    pub(super) async fn rebuild(&self, name: &str) -> Result<Rebuilding, Refused> {
        let Some(folding) = self.projections.iter().find(|folding| &*folding.reader() == name) else {
            return Err(Refused::new(format!("`{}` has no projection `{name}`", self.service())));
        };
        if let Some((version, _)) = self.row(folding).await?.and_then(|row| row.building) {
            return Err(Refused::new(format!("version {version} of `{name}` is being built already")));
        }
        match &folding.life {
            Life::Running { rebuild, .. } => {
                if !rebuild.ask() {
                    return Err(Refused::new(format!("a rebuild of `{name}` has been asked for already")));
                }
                let until = Instant::now() + BEGIN_WITHIN;
                loop {
                    let building = self.row(folding).await?.and_then(|row| row.building);
                    if building.is_some() || Instant::now() >= until {
                        let version = building.map(|(version, _)| version);
                        return Ok(Rebuilding { version, running: true });
                    }
                    sleep(LOOK_EVERY).await;
                }
            }
            Life::Opened { versions, stores } => {
                // A file has one owner: what was opened to be read is closed before it is opened to be built.
                for (_, store) in versions {
                    store.close().await;
                }
                let opening = Opening::open(folding.spec.clone(), Arc::clone(stores), self.store.clone());
                let opened = opening.await.map_err(|error| Refused::of(&error))?;
                let version = opened.begin_and_close().await.map_err(|error| Refused::of(&error))?;
                Ok(Rebuilding { version: Some(version), running: false })
            }
        }
    }

    async fn row(&self, folding: &Folding) -> Result<Option<ProjectionRow>, Refused> {
        let name = folding.spec.name;
        Ok(self.store.read(async |read: &mut Read| rows::read(read, name).await).await?)
    }
}
