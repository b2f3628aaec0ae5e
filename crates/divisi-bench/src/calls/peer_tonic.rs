//! tonic: gRPC over HTTP/2. What its generator would write from a `.proto` file, written by hand.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::task::Poll;

use anyhow::ensure;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, client, server};

use crate::load::Peer;
use crate::order::{Order, ProtoOrder};
use crate::runtime::Owned;

const PATH: &str = "/bench.Shop/Sell";

/// Protobuf by prost, as tonic's own codec does it.
struct Prost<E, D>(PhantomData<(E, D)>);

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Prost<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Prost<E, D>;
    type Decoder = Prost<E, D>;

    fn encoder(&mut self) -> Prost<E, D> {
        Prost(PhantomData)
    }

    fn decoder(&mut self) -> Prost<E, D> {
        Prost(PhantomData)
    }
}

impl<E: Message, D> Encoder for Prost<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<E, D: Message + Default> Decoder for Prost<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

#[derive(Clone)]
pub(super) struct Tonic {
    shop: client::Grpc<Channel>,
    order: ProtoOrder,
}

impl Peer for Tonic {
    async fn ask(&mut self) -> anyhow::Result<()> {
        self.shop.ready().await?;
        let request = Request::new(self.order.clone());
        let answer: Response<ProtoOrder> = self
            .shop
            .unary(request, PathAndQuery::from_static(PATH), Prost(PhantomData::<(ProtoOrder, _)>))
            .await?;
        ensure!(answer.get_ref() == &self.order, "another answer than asked for");
        Ok(())
    }
}

/// The service, as far as HTTP sees it.
#[derive(Clone)]
struct Shop;

impl NamedService for Shop {
    const NAME: &'static str = "bench.Shop";
}

impl Service<http::Request<Body>> for Shop {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let codec = Prost(PhantomData::<(ProtoOrder, ProtoOrder)>);
            Ok(server::Grpc::new(codec).unary(Sell, request).await)
        })
    }
}

struct Sell;

impl UnaryService<ProtoOrder> for Sell {
    type Response = ProtoOrder;
    type Future = BoxFuture<Response<ProtoOrder>, Status>;

    fn call(&mut self, request: Request<ProtoOrder>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(request.into_inner())) })
    }
}

/// A server, and a client of it.
pub(super) fn start(client: &Runtime, server: &Runtime) -> anyhow::Result<(Tonic, Owned)> {
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let addr = listener.local_addr()?;
    let serving = Owned::spawn(server, async move {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        if let Err(error) = Server::builder().add_service(Shop).serve_with_incoming(incoming).await {
            eprintln!("the tonic server ended: {error:#}");
        }
    });
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))?.tcp_nodelay(true);
    let channel = client.block_on(endpoint.connect())?;
    Ok((Tonic { shop: client::Grpc::new(channel), order: Order::sample().into() }, serving))
}
