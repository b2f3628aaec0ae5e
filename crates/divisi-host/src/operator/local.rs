//! The databases of a service that does not run, opened to answer a command.
//!
//! It is a start like any other: it takes the owner's lock, brings tables up to date and, on SQLite, begins an epoch.

use std::sync::Arc;

use divisi_events::consumer::Parked;
use divisi_events::projection::ProjectionSpec;
use divisi_store::projection as rows;
use divisi_store::{OpenError, Read, Store, StoreError, StoreName, Stores};

use super::desk::{Desk, Folding, Life, Reacting};
use crate::graph::Graph;
use crate::host;
use crate::service::Service;

/// Opens what `service` keeps. Nothing of it runs.
pub(super) async fn open(
    graph: &Graph,
    service: &Service,
    stores: &Arc<dyn Stores>,
) -> Result<Desk, OpenError> {
    let store = stores.open(&StoreName::of(service.name()), &host::schema(graph, service)).await?;
    let inputs = graph.inputs(service.reactions.topics());
    let reactions = (!inputs.is_empty()).then(|| Reacting {
        inputs,
        parked: Parked::new(service.name().as_str(), store.clone()),
        observer: None,
    });
    let mut desk = Desk::new(store, graph.listeners(service), reactions, Vec::new());
    for projection in &service.projections {
        let spec = host::spec(service, projection);
        let opened = versions(&desk.store, &spec, stores).await;
        let (versions, failed) = match opened {
            Ok(versions) => (versions, None),
            Err((versions, error)) => (versions, Some(error)),
        };
        let life = Life::Opened { versions, stores: Arc::clone(stores) };
        desk.projections.push(Folding { inputs: graph.inputs(spec.handlers.topics()), spec, life });
        if let Some(error) = failed {
            close(&desk).await;
            return Err(error);
        }
    }
    Ok(desk)
}

/// Closes what was opened.
pub(super) async fn close(desk: &Desk) {
    for folding in &desk.projections {
        if let Life::Opened { versions, .. } = &folding.life {
            for (_, store) in versions {
                store.close().await;
            }
        }
    }
    desk.store.close().await;
}

type Versions = Vec<(u32, Store)>;

/// The version that readers see, and the one that is being built if the program can read its tables.
async fn versions(
    control: &Store,
    spec: &ProjectionSpec,
    stores: &Arc<dyn Stores>,
) -> Result<Versions, (Versions, OpenError)> {
    let mut opened = Vec::new();
    let row = match control.read(async |read: &mut Read| rows::read(read, spec.name).await).await {
        Ok(row) => row,
        Err(source) => return Err((opened, unreadable(spec, source))),
    };
    let Some(row) = row else { return Ok(opened) };
    let building = row.building.filter(|(_, shape)| *shape == spec.shape).map(|(number, _)| number);
    for number in [Some(row.active), building].into_iter().flatten() {
        let shape = if number == row.active { row.shape } else { spec.shape };
        let name = spec.store_name(number);
        let store = match stores.exists(&name).await {
            Ok(true) => stores.open(&name, &spec.schema(shape)).await,
            Ok(false) => continue,
            Err(error) => Err(error),
        };
        match store {
            Ok(store) => opened.push((number, store)),
            Err(error) => return Err((opened, error)),
        }
    }
    Ok(opened)
}

fn unreadable(spec: &ProjectionSpec, source: StoreError) -> OpenError {
    OpenError::Other { what: format!("{}.{}", spec.service, spec.name), source }
}
