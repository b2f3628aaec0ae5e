//! A second server that follows the first, and takes its place.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::postgres::settings::Settings;
use crate::postgres::{Cluster, PASSWORD, Postgres, USER};
use crate::process::look_until;
use crate::program;
use crate::server::{Home, Inner};

/// How long a standby may take to follow, and to become a primary. 30 s: both take a fraction of one.
const WITHIN: Duration = Duration::from_secs(30);

/// Whether a primary waits for its standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// A commit is answered when the standby has it on disk; without the standby no commit is answered at all.
    Synchronous,
    /// A commit is answered at once; what the standby does not have yet is lost when the primary is.
    Asynchronous,
}

impl Postgres {
    /// Makes a copy of this server that follows it, with the same settings, in a temporary directory; when this
    /// returns, it follows. The primary keeps what the standby has not read.
    pub async fn standby(&self, replication: Replication) -> Result<Postgres, Error> {
        let primary_url = self.url();
        self.work(move |primary| {
            let standby = Settings::like(&primary.kind).prepared()?;
            let name = name(&standby.inner.home);
            copy_primary(&primary.kind, &primary.home, &standby.inner.home, &name)?;
            standby.inner.start()?;
            if replication == Replication::Synchronous {
                let names = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
                primary.kind.sql(&primary_url, &names)?;
                primary.kind.sql(&primary_url, "SELECT pg_reload_conf()")?;
            }
            wait_until_it_follows(primary, &primary_url, &name, replication)?;
            Ok(standby)
        })
        .await
    }

    /// Makes a standby a primary, on a timeline of its own. It does not look whether the old primary is gone.
    pub async fn promote(&self) -> Result<(), Error> {
        self.sql(format!("SELECT pg_promote(true, {})", WITHIN.as_secs())).await.map(drop)
    }
}

fn name(home: &Home) -> String {
    format!("standby_{}", home.address().port())
}

fn copy_primary(cluster: &Cluster, primary: &Home, standby: &Home, name: &str) -> Result<(), Error> {
    let (address, data) = (primary.address(), standby.data());
    let source = format!(
        "host={} port={} user={USER} password={PASSWORD} application_name={name}",
        address.ip(),
        address.port()
    );
    let mut backup = cluster.binaries.command("pg_basebackup");
    backup
        .args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"])
        .args(["--create-slot", "--slot", name, "--dbname", &source])
        .arg("--pgdata")
        .arg(&data);
    program::run(&mut backup)?;
    forget_standbys(&data)
}

/// What the primary waits for is not what the standby will wait for when it has taken over.
fn forget_standbys(data: &Path) -> Result<(), Error> {
    let path = data.join("postgresql.auto.conf");
    let text = fs::read_to_string(&path).map_err(Error::files("read", &path))?;
    let kept = text.lines().filter(|line| !line.starts_with("synchronous_standby_names"));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    fs::write(&path, kept).map_err(Error::files("write", &path))
}

fn wait_until_it_follows(
    primary: &Inner<Cluster>,
    primary_url: &str,
    name: &str,
    replication: Replication,
) -> Result<(), Error> {
    let question = format!(
        "SELECT state || ' ' || sync_state FROM pg_stat_replication WHERE application_name = '{name}'"
    );
    let wanted = match replication {
        Replication::Synchronous => "streaming sync",
        Replication::Asynchronous => "streaming async",
    };
    let (mut outcome, began) = (Ok(String::new()), Instant::now());
    let follows = look_until(WITHIN, || {
        outcome = primary.kind.sql(primary_url, &question);
        outcome.as_deref().map_or(true, |state| state == wanted)
    });
    let state = outcome?;
    match follows {
        true => Ok(()),
        false => Err(Error::Late {
            server: "the standby",
            what: wanted,
            within: began.elapsed(),
            seen: format!("it is `{state}`"),
            log: String::new(),
        }),
    }
}
