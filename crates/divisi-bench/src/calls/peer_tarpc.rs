//! tarpc, over TCP with bincode: its fastest encoding that ships with it.

use anyhow::ensure;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context, serde_transport};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tonic::codegen::tokio_stream::StreamExt;

use crate::load::Peer;
use crate::order::Order;
use crate::runtime::Owned;

#[tarpc::service]
trait Shop {
    /// Takes an order and confirms it.
    async fn sell(order: Order) -> Order;
}

#[derive(Clone)]
struct Service;

impl Shop for Service {
    async fn sell(self, _: context::Context, order: Order) -> Order {
        order
    }
}

#[derive(Clone)]
pub(super) struct Tarpc {
    shop: ShopClient,
    order: Order,
}

impl Peer for Tarpc {
    async fn ask(&mut self) -> anyhow::Result<()> {
        // A new context has a deadline of ten seconds.
        let answer = self.shop.sell(context::current(), self.order.clone()).await?;
        ensure!(answer.id == self.order.id, "another answer than asked for");
        Ok(())
    }
}

/// A server, and a client of it.
pub(super) fn start(client: &Runtime, server: &Runtime) -> anyhow::Result<(Tarpc, Owned)> {
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let addr = listener.local_addr()?;
    let serving = Owned::spawn(server, async move {
        if let Err(error) = serve(listener).await {
            eprintln!("the tarpc server ended: {error:#}");
        }
    });
    let stream = client.block_on(TcpStream::connect(addr))?;
    stream.set_nodelay(true)?;
    let _inside = client.enter();
    let transport = serde_transport::Transport::from((stream, Bincode::default()));
    let shop = ShopClient::new(client::Config::default(), transport).spawn();
    Ok((Tarpc { shop, order: Order::sample() }, serving))
}

async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let transport = serde_transport::Transport::from((stream, Bincode::default()));
    let mut requests = Box::pin(BaseChannel::with_defaults(transport).execute(Service.serve()));
    while let Some(request) = requests.next().await {
        // As its documentation does it: a task a request.
        tokio::spawn(request);
    }
    Ok(())
}
