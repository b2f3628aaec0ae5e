//! The generated client over `divisi-tcp`.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use divisi::Context;
use divisi::call::{Client as _, Place, Route};
use divisi::contract::Deadline;
use divisi_tcp::{Client, ClientOptions, Limits, Server};
use tokio::runtime::Runtime;

use super::{Service, ShopClient};
use crate::load::Peer;
use crate::order::Order;
use crate::runtime::Owned;

#[derive(Clone)]
pub(super) struct Divisi {
    shop: ShopClient,
    order: Order,
}

impl Peer for Divisi {
    async fn ask(&mut self) -> anyhow::Result<()> {
        let cx =
            Context::root("bench").with_deadline(Deadline::after(Instant::now(), Duration::from_secs(10)));
        let answer =
            self.shop.sell(&cx, self.order.clone()).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        ensure!(answer.id == self.order.id, "another answer than asked for");
        Ok(())
    }
}

/// A server, and a client of it.
pub(super) fn start(client: &Runtime, server: &Runtime) -> anyhow::Result<(Divisi, Owned)> {
    let services = vec![("shop".into(), vec![ShopClient::serve(Arc::new(Service), None)])];
    let listening = server.block_on(Server::bind("127.0.0.1:0", services, Limits::default()))?;
    let addr = listening.local_addr()?.to_string();
    let serving = Owned::spawn(server, async move {
        listening.serve(pending()).await;
    });
    let _inside = client.enter();
    let route = Route::new("shop");
    route.lead_to(Place::Remote(Arc::new(Client::new(addr, ClientOptions::default()))));
    Ok((Divisi { shop: ShopClient::over("bench".into(), route), order: Order::sample() }, serving))
}
