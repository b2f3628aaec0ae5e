//! `blog provision`: what each service needs on a server and no other can use.
#![cfg(any(feature = "postgres", feature = "nats", feature = "kafka"))]

#[cfg(any(feature = "nats", feature = "kafka-tls"))]
mod carried;
#[cfg(feature = "kafka-tls")]
mod kafka;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "nats", feature = "kafka-tls"))]
mod users;

use std::future::Future;
use std::process::Output;

use crate::command;

/// Runs the blog's binary to its end.
fn blog(arguments: &[&str]) -> Output {
    command::binary().args(arguments).output().expect("the blog runs")
}

/// Waits for what the launcher does.
fn wait<T>(work: impl Future<Output = Result<T, divisi_servers::Error>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}
