//! How many transactions commit a second, each with a row and an event: `commit_speed URL_OF_AN_EMPTY_DATABASE`.

use std::time::{Duration, Instant};

use divisi_postgres::{Options, Postgres, Urls};
use divisi_store::conformance::account::{deposit, schema};
use divisi_store::{Store, StoreName, Stores};
use tokio::task::JoinSet;

const SPAN: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("which database? give its URL")?;
    let options = Options { connections_max: 32, connections_of_consumers: 16, ..Options::default() };
    let stores = Postgres::new(Urls::none().with("bank", url), options);
    let store = stores.open(&StoreName::of("bank"), &schema()).await?;
    for writers in [1, 4, 16, 64] {
        let (n, mut took) = write(&store, writers).await;
        took.sort_unstable();
        let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
        println!(
            "{writers:>3} writers: {:>6.0} commits/s, p50 {:?}, p99 {:?}",
            n as f64 / SPAN.as_secs_f64(),
            at(50),
            at(99)
        );
    }
    store.close().await;
    Ok(())
}

/// Each writer has keys of its own. How many were committed, and how long each took.
async fn write(store: &Store, writers: usize) -> (usize, Vec<Duration>) {
    let until = Instant::now() + SPAN;
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let store = store.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            for n in 0_usize.. {
                let began = Instant::now();
                if began > until {
                    break;
                }
                if let Err(error) = deposit(&store, &format!("account-{writer}-{}", n % 50), 1).await {
                    eprintln!("{error}");
                }
                took.push(began.elapsed());
            }
            took
        });
    }
    let took: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    (took.len(), took)
}
