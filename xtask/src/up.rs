//! Servers for a developer's machine: up until Ctrl-C, with their data and ports kept for the next time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use divisi_servers::{Kafka, Nats, Postgres, kafka, nats, postgres};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::servers;

/// All of them, in the order in which they start; they end in the reverse.
const NAMES: [&str; 3] = ["postgres", "nats", "kafka"];

/// How soon a server that ended by itself is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Starts the named servers, all if none is named, and ends them in order when it is asked to end.
pub(crate) fn up(names: &[&str]) -> anyhow::Result<()> {
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(name)) {
        bail!("there is no server `{unknown}`; there are {}", NAMES.join(", "));
    }
    let names = if names.is_empty() { &NAMES[..] } else { names };
    servers::install(names)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(names))
}

/// What runs.
#[derive(Default)]
struct Up {
    postgres: Option<Postgres>,
    nats: Option<Nats>,
    kafka: Option<Kafka>,
}

/// The signals that ask to end.
struct Asked {
    interrupt: Signal,
    terminate: Signal,
}

async fn run(names: &[&str]) -> anyhow::Result<()> {
    let mut asked =
        Asked { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    // Beside what is installed: in cargo's target directory, unless somebody chose.
    let directory = divisi_servers::cache_directory().with_file_name("up");
    let up = tokio::select! {
        up = Up::start(names, &directory) => up?,
        () = asked.wait() => bail!("asked to end before everything was up"),
    };
    up.tell(&directory)?;
    let ended = tokio::select! {
        name = up.first_to_end() => Some(name),
        () = asked.wait() => None,
    };
    eprintln!("ending; once more ends at once");
    tokio::select! {
        stopped = up.stop() => stopped?,
        // What is beside each server ends it when this process is gone.
        () = asked.wait() => std::process::exit(130),
    }
    match ended {
        Some(name) => bail!("{name} ended by itself; see {}", directory.join(name).join("log").display()),
        None => Ok(()),
    }
}

impl Asked {
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

impl Up {
    async fn start(names: &[&str], directory: &Path) -> anyhow::Result<Up> {
        let wanted = |name: &str| names.contains(&name).then(|| directory.join(name));
        let (postgres, nats, kafka) = tokio::join!(
            started(wanted("postgres"), |at| postgres::Settings::new().directory(at).start()),
            started(wanted("nats"), |at| nats::Settings::new().directory(at).start()),
            started(wanted("kafka"), |at| kafka::Settings::new().directory(at).start()),
        );
        let hint = "cannot start it; TEST_SERVERS_DIR names another directory for all of them";
        Ok(Up { postgres: postgres.context(hint)?, nats: nats.context(hint)?, kafka: kafka.context(hint)? })
    }

    /// Says where they are, to people and, in a file for their shell, to apps.
    fn tell(&self, directory: &Path) -> anyhow::Result<()> {
        let urls = [
            ("POSTGRES", self.postgres.as_ref().map(Postgres::url)),
            ("NATS", self.nats.as_ref().map(Nats::url)),
            ("KAFKA", self.kafka.as_ref().map(|server| format!("kafka://{}", server.url()))),
        ];
        let urls = urls.into_iter().filter_map(|(name, url)| Some(format!("{name}={}", url?)));
        let lines: Vec<String> = urls.collect();
        let env = directory.join("env");
        std::fs::write(&env, lines.join("\n") + "\n")
            .with_context(|| format!("cannot write {}", env.display()))?;
        println!("{}", lines.join("\n"));
        println!("These lines are in {}, for `.` in another shell. Ctrl-C ends the servers.", env.display());
        println!("Data, logs and ports are kept in {}; delete it to begin anew.", directory.display());
        Ok(())
    }

    /// Waits until one of them has ended, and answers which.
    async fn first_to_end(&self) -> &'static str {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let running = [
                self.postgres.as_ref().is_none_or(Postgres::is_running),
                self.nats.as_ref().is_none_or(Nats::is_running),
                self.kafka.as_ref().is_none_or(Kafka::is_running),
            ];
            if let Some((name, _)) = NAMES.iter().zip(running).find(|(_, running)| !running) {
                return name;
            }
        }
    }

    async fn stop(&self) -> anyhow::Result<()> {
        let kafka = stopped("kafka", self.kafka.as_ref().map(Kafka::stop)).await;
        let nats = stopped("nats", self.nats.as_ref().map(Nats::stop)).await;
        let postgres = stopped("postgres", self.postgres.as_ref().map(Postgres::stop)).await;
        kafka.and(nats).and(postgres)
    }
}

/// Starts a server in a directory, if there is one.
async fn started<D, S, F: Future<Output = Result<S, divisi_servers::Error>>>(
    directory: Option<D>,
    start: impl FnOnce(D) -> F,
) -> Result<Option<S>, divisi_servers::Error> {
    match directory {
        Some(directory) => start(directory).await.map(Some),
        None => Ok(None),
    }
}

async fn stopped(
    name: &str,
    stop: Option<impl Future<Output = Result<(), divisi_servers::Error>>>,
) -> anyhow::Result<()> {
    match stop {
        Some(stop) => stop.await.with_context(|| format!("cannot end {name} in order")),
        None => Ok(()),
    }
}
