//! The gateway as the HTTP edge of an app.

use std::io;
use std::sync::Arc;

use divisi_call::BoxFuture;
use divisi_host::App;
use divisi_host::edge::{EdgeServer, EdgeSetup};
use divisi_host::graph::GATEWAY;
use divisi_host::health::{Health as HostHealth, State};
use divisi_host::metrics::Metrics as HostMetrics;

use crate::gateway::Gateway;
use crate::health::{Health, Metrics, Report};
use crate::limits::Limits;

/// Adds the gateway to an app: `divisi::app("blog").service(…).gateway()`.
pub trait WithGateway {
    /// Serves every route of every contract over HTTP, with `/livez`, `/readyz` and `/metrics` beside them.
    #[must_use]
    fn gateway(self) -> Self;
}

impl WithGateway for App {
    fn gateway(self) -> App {
        self.edge(HttpEdge)
    }
}

struct HttpEdge;

impl EdgeServer for HttpEdge {
    fn serve(&self, setup: EdgeSetup) -> Result<BoxFuture<'static, io::Result<()>>, String> {
        let limits = Limits {
            body_bytes_max: setup.body_bytes_max,
            request_time_max: setup.request_time,
            ..Limits::default()
        };
        let gateway =
            Gateway::new(GATEWAY.into(), setup.edges, limits).map_err(|conflict| conflict.to_string())?;
        let gateway =
            gateway.health(Arc::new(OfProcess(setup.health))).metrics(Arc::new(Figures(setup.metrics)));
        Ok(Box::pin(gateway.serve(setup.listener, setup.stopping)))
    }
}

/// The figures of the process.
struct Figures(HostMetrics);

impl Metrics for Figures {
    fn text(&self) -> BoxFuture<'_, String> {
        Box::pin(self.0.text())
    }
}

/// The health of the process, in the gateway's terms.
struct OfProcess(HostHealth);

impl Health for OfProcess {
    fn live(&self) -> Report {
        let report = self.0.report();
        let dead = report.components.iter().filter_map(|(name, state)| match state {
            State::Dead { reason } => Some(format!("{name}: {reason}")),
            State::Ready | State::NotReady { .. } => None,
        });
        Report { reasons: dead.collect() }
    }

    fn ready(&self) -> BoxFuture<'_, Report> {
        let report = self.0.report();
        let not_ready = report.components.iter().filter_map(|(name, state)| match state {
            State::Ready => None,
            State::Dead { reason } | State::NotReady { reason } => Some(format!("{name}: {reason}")),
        });
        let reasons = not_ready.chain(report.draining.clone()).collect();
        Box::pin(async move { Report { reasons } })
    }
}
