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
use std::process::{Command, Output};

/// Runs the blog's binary to its end.
fn blog(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blog"));
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DIVISI_") {
            command.env_remove(name);
        }
    }
    command.output().expect("the blog runs")
}

/// Waits for what the launcher does.
fn wait<T>(work: impl Future<Output = Result<T, divisi_servers::Error>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}
