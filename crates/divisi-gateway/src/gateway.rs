//! Edges in, a server out.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use divisi_call::Edge;
use divisi_contract::ServiceName;
use tokio::net::TcpListener;

use crate::endpoint::Shared;
use crate::health::{self, Health, Metrics, Question};
use crate::limits::Limits;
use crate::resource::{Resource, not_found};
use crate::routes::{self, RouteConflict};
use crate::serve::serve;

/// The HTTP edge: every route of every contract it was given, `/livez`, `/readyz`, and pages.
///
/// ```
/// use divisi_gateway::{Gateway, Limits};
///
/// let gateway = Gateway::new("gateway".into(), Vec::new(), Limits::default())?;
/// let _router: axum::Router = gateway.router();
/// # Ok::<(), divisi_gateway::RouteConflict>(())
/// ```
pub struct Gateway {
    shared: Arc<Shared>,
    resources: Vec<Arc<Resource>>,
    health: Option<Arc<dyn Health>>,
    metrics: Option<Arc<dyn Metrics>>,
    pages: Router,
}

impl Gateway {
    /// A gateway that makes its calls in the name of `name`, through `edges`.
    ///
    /// Reads all routes and fails when two contracts want the same one: better no gateway than one that guesses.
    pub fn new(
        name: ServiceName,
        edges: Vec<Arc<dyn Edge>>,
        limits: Limits,
    ) -> Result<Gateway, RouteConflict> {
        let shared = Arc::new(Shared { name, limits });
        let resources = routes::table(&edges)?
            .into_iter()
            .map(|(pattern, verbs)| Arc::new(Resource::new(Arc::clone(&shared), pattern, verbs)))
            .collect();
        Ok(Gateway { shared, resources, health: None, metrics: None, pages: Router::new() })
    }

    /// The same with somebody who knows how the process is. Without, `/livez` and `/readyz` say that all is well.
    #[must_use]
    pub fn health(mut self, health: Arc<dyn Health>) -> Gateway {
        self.health = Some(health);
        self
    }

    /// The same with somebody who counts. Without, there is nothing at `/metrics`.
    #[must_use]
    pub fn metrics(mut self, metrics: Arc<dyn Metrics>) -> Gateway {
        self.metrics = Some(metrics);
        self
    }

    /// The same with routes that are not calls: pages, files, streams.
    ///
    /// A page at the same path and verb as a method wins, and a page's literal path wins over an argument. The
    /// gateway answers what neither has, so a fallback of `pages` is not used. Limits, log lines and problems are the
    /// pages' own; a page that panics costs its connection.
    ///
    /// # Panics
    /// When two pages stand at the same path and verb, or when a page's path differs from another one in the name of
    /// an argument alone.
    #[must_use]
    pub fn pages(mut self, pages: Router) -> Gateway {
        self.pages = self.pages.merge(pages);
        self
    }

    /// Everything as one router, to be served by other means.
    pub fn router(self) -> Router {
        let mut router = Router::new();
        for resource in self.resources {
            let pattern = resource.pattern().to_owned();
            let handler = any(move |request: Request| {
                let resource = Arc::clone(&resource);
                async move { resource.serve(request).await }
            });
            router = router.route(&pattern, handler);
        }
        for (path, question) in routes::RESERVED.into_iter().zip([Question::Live, Question::Ready]) {
            let health = self.health.clone();
            let handler = any(move |request: Request| health::serve(health.clone(), question, request));
            router = router.route(path, handler);
        }
        if let Some(metrics) = self.metrics {
            let handler = any(move |request: Request| health::serve_metrics(Arc::clone(&metrics), request));
            router = router.route(routes::METRICS, handler);
        }
        // With its state settled, a router does not settle it anew for each request.
        router.merge(self.pages).fallback(not_found).with_state(())
    }

    /// Serves `listener` until `shutdown` is ready; then takes no new connection, lets open requests end within
    /// [`Limits::drain_time_max`], and cuts the rest.
    ///
    /// Connections end with this future, also when it is dropped. Fails only when the listener does.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let limits = self.shared.limits;
        serve(self.router(), limits, listener, shutdown).await
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<&str> = self.resources.iter().map(|resource| resource.pattern()).collect();
        f.debug_struct("Gateway")
            .field("name", &self.shared.name)
            .field("paths", &paths)
            .finish_non_exhaustive()
    }
}
