//! How fast calls are, beside a bare loop of length-prefixed frames.
//!
//! `cargo run --release -p divisi-tcp --example echo_speed`
//!
//! Both echo the same bytes, the size of a record of ten fields, on the same runtime, with 1, 64 and 256 calls in
//! flight; `waiting` is a handler that is not ready at once and becomes a task. The bare loop has no ids, no
//! deadlines, no cancellation and no limits: it is what a queue, a socket and a task a caller give.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use divisi_call::{BoxFuture, Call, Caller, Dispatch, Request, Served};
use divisi_contract::{CallError, Context, Contract, Deadline, Method, Repeat, ServiceName};
use divisi_tcp::{Client, ClientOptions, Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

const ECHO: Call = Call { contract: "echo", version: 1, method: "echo", repeat: Repeat::Once };
const WAIT: Call = Call { method: "wait", ..ECHO };
const RECORD: usize = 240;
const RUN: Duration = Duration::from_secs(2);

struct Echo;

impl Dispatch for Echo {
    fn dispatch(
        self: Arc<Self>,
        method: &str,
        _: Context,
        arguments: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, CallError<Bytes>>> {
        let waits = method == "wait";
        Box::pin(async move {
            if waits {
                tokio::task::yield_now().await;
            }
            Ok(arguments)
        })
    }
}

fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(|| Contract {
        name: "echo".to_owned(),
        version: 1,
        docs: String::new(),
        methods: ["echo", "wait"].map(method).into(),
    })
}

fn method(name: &str) -> Method {
    Method {
        name: name.to_owned(),
        docs: String::new(),
        repeat: Repeat::Once,
        routes: Vec::new(),
        arguments: Vec::new(),
        answer: Default::default(),
        refusals: Vec::new(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let served = Served::new(contract(), Arc::new(Echo), Arc::new(()));
    let services = vec![(ServiceName::from("echo"), vec![served])];
    let server = Server::bind("127.0.0.1:0", services, Limits::default()).await?;
    let addr = server.local_addr()?.to_string();
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let client = Arc::new(Client::new(addr, ClientOptions::default()));

    let bare = TcpListener::bind("127.0.0.1:0").await?;
    let bare_addr = bare.local_addr()?;
    let bare_serving = tokio::spawn(serve_bare(bare));

    println!(
        "{:>9}  {:>12}  {:>12}  {:>12}  {:>5}",
        "in flight", "waiting /s", "ready /s", "bare /s", "ratio"
    );
    for in_flight in [1, 64, 256] {
        let waits = calls(&client, &WAIT, in_flight).await?;
        let calls = calls(&client, &ECHO, in_flight).await?;
        let bare = tokio::spawn(bare_calls(bare_addr, in_flight)).await??;
        let ratio = calls / bare;
        println!("{in_flight:>9}  {waits:>12.0}  {calls:>12.0}  {bare:>12.0}  {ratio:>5.2}");
    }
    serving.abort();
    bare_serving.abort();
    Ok(())
}

async fn calls(
    client: &Arc<Client>,
    call: &'static Call,
    in_flight: usize,
) -> Result<f64, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let callers: Vec<_> = (0..in_flight)
        .map(|_| {
            let client = Arc::clone(client);
            tokio::spawn(async move {
                let service = ServiceName::from("echo");
                let arguments = Bytes::from(vec![1; RECORD]);
                let mut n = 0_u64;
                while start.elapsed() < RUN {
                    let deadline = Deadline::after(Instant::now(), Duration::from_secs(5));
                    let cx = Context::root("bench").with_deadline(deadline);
                    let request = Request { service: &service, call, cx: &cx, arguments: arguments.clone() };
                    client.call(request).await?;
                    n += 1;
                }
                Ok::<u64, CallError<Bytes>>(n)
            })
        })
        .collect();
    let mut n = 0;
    for caller in callers {
        n += caller.await?.map_err(|error| format!("{error:?}"))?;
    }
    Ok(n as f64 / start.elapsed().as_secs_f64())
}

/// The least that serves several callers over one connection: a queue of frames to a task that writes all that
/// wait at once, and hands answers out in order.
async fn bare_calls(addr: std::net::SocketAddr, in_flight: usize) -> std::io::Result<f64> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (requests, queue) = mpsc::channel(1_024);
    let connection = tokio::spawn(bare_connection(stream, queue));
    let start = Instant::now();
    let callers: Vec<_> = (0..in_flight)
        .map(|_| {
            let requests = requests.clone();
            tokio::spawn(async move {
                let arguments = Bytes::from(vec![1; RECORD]);
                let mut n = 0_u64;
                while start.elapsed() < RUN {
                    let (answer, answered) = oneshot::channel();
                    if requests.send((arguments.clone(), answer)).await.is_err() || answered.await.is_err() {
                        break;
                    }
                    n += 1;
                }
                n
            })
        })
        .collect();
    let mut n = 0;
    for caller in callers {
        n += caller.await?;
    }
    connection.abort();
    Ok(n as f64 / start.elapsed().as_secs_f64())
}

async fn bare_connection(
    mut stream: TcpStream,
    mut queue: mpsc::Receiver<(Bytes, oneshot::Sender<Bytes>)>,
) -> std::io::Result<()> {
    let (mut read, mut out) = (BytesMut::new(), Vec::new());
    let (mut requests, mut waiting) = (Vec::new(), VecDeque::new());
    let (mut reads, mut writes) = stream.split();
    loop {
        read.reserve(64 * 1024);
        tokio::select! {
            n = queue.recv_many(&mut requests, 1_024) => {
                if n == 0 {
                    return Ok(());
                }
                for (arguments, answer) in requests.drain(..) {
                    out.extend_from_slice(&(arguments.len() as u32).to_be_bytes());
                    out.extend_from_slice(&arguments);
                    waiting.push_back(answer);
                }
                writes.write_all(&out).await?;
                out.clear();
            }
            n = reads.read_buf(&mut read) => {
                if n? == 0 {
                    return Ok(());
                }
                while let Some(length) = read.first_chunk::<4>() {
                    let length = u32::from_be_bytes(*length) as usize;
                    if read.len() < 4 + length {
                        break;
                    }
                    let frame = read.split_to(4 + length).freeze();
                    if let Some(answer) = waiting.pop_front() {
                        let _ = answer.send(frame.slice(4..));
                    }
                }
            }
        }
    }
}

async fn serve_bare(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (mut read, mut out) = (BytesMut::new(), Vec::new());
        loop {
            read.reserve(64 * 1024);
            if stream.read_buf(&mut read).await? == 0 {
                break;
            }
            while let Some(length) = read.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if read.len() < 4 + length {
                    break;
                }
                out.extend_from_slice(&read.split_to(4 + length));
            }
            stream.write_all(&out).await?;
            out.clear();
        }
    }
}
