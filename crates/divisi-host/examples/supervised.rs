//! A supervisor and its processes, as small as they can be.
//!
//! `supervised run a b:fails c:stubborn` runs three processes of this program until Ctrl-C.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use divisi_host::config::Config;
use divisi_host::health::Health;
use divisi_host::shutdown::{Shutdown, Signals};
use divisi_host::supervisor::ports::{Reserved, listen};
use divisi_host::supervisor::supervised::{Supervised, supervised_child_setup};
use divisi_host::supervisor::{Process, Settings, Supervisor};
use divisi_host::telemetry::{Format, Report, init};

const STOP_WITHIN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let outcome = supervised_child_setup().map_err(Into::into).and_then(|supervised| {
        let outcome = start(supervised.as_ref());
        if let (Some(supervised), Err(error)) = (&supervised, &outcome) {
            supervised.failed(&**error);
        }
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", Report::new(&*error));
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn start(supervised: Option<&Supervised>) -> Outcome {
    init("supervised", Format::Text, "")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match (supervised, arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice()) {
        (Some(supervised), ["child", how]) => runtime.block_on(child(supervised, how)),
        (None, ["run", names @ ..]) => runtime.block_on(supervise(names)),
        _ => Err("usage: supervised run NAME[:fails|:stubborn]...".into()),
    }
}

async fn supervise(names: &[&str]) -> Outcome {
    let (health, shutdown) = (Health::new(), Shutdown::new());
    let _signals = Signals::watch(&shutdown)?;
    let (mut ports, mut processes) = (Vec::new(), Vec::new());
    for name in names {
        let (name, how) = name.split_once(':').unwrap_or((name, "works"));
        let port = Reserved::new()?;
        let process = Process::of_this_program(name, ["child", how])?;
        processes.push(process.with_variable("DIVISI_LISTEN", port.address().to_string()));
        ports.push(port);
    }
    let supervisor = Supervisor::start(processes, &Settings::default(), &health)?;
    let all_ready = async {
        health.ready().await;
        println!("all are ready");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = all_ready => {}
        _ = shutdown.requested() => {}
    }
    let killed = supervisor.stop(STOP_WITHIN).await;
    println!("killed: {killed:?}");
    println!("health: {}", serde_json::to_string(&health.report())?);
    Ok(())
}

async fn child(supervised: &Supervised, how: &str) -> Outcome {
    if how == "fails" {
        return Err(io::Error::other("the disk is full").into());
    }
    let shutdown = Shutdown::new();
    let _signals = Signals::watch(&shutdown)?;
    let listener = listen(Config::load("supervised", &[], None)?.listen, true)?;
    supervised.ready(Some(listener.local_addr()?));
    let reason = shutdown.requested().await;
    eprintln!("stops: {reason}");
    if how == "stubborn" {
        std::future::pending::<()>().await;
    }
    Ok(())
}
