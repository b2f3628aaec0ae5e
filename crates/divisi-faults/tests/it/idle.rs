//! F-10: somebody's session stands idle in a transaction, and the log goes on beside it.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::bank::{Bank, NATS};
use crate::figures::{Told, end, form_of, now, seed};
use crate::lanes::come_to_the_carrier;
use crate::load::{Load, Pace};

/// A transaction that holds what it has seen, and does nothing.
struct Idle {
    runtime: Runtime,
    client: Client,
}

#[test]
fn a_session_idle_in_a_transaction_holds_up_nobody() {
    let idle = form_of(Duration::from_secs(3), Duration::from_secs(60));
    let mut bank = Bank::start(NATS);
    let load = Load::start(bank.address(), seed(), 8, Pace::PerSecond(form_of(80, 300)));
    come_to_the_carrier(&bank);
    let before = now();
    load.goes_on_for(idle / 2);
    let from = now();
    let sessions: Vec<Idle> = ["accounts", "ledger"].map(|service| begin(&bank, service)).into();
    load.goes_on_for(idle);
    let to = now();
    for session in &sessions {
        // A session that the server had ended meanwhile would have held nothing.
        let still = session.runtime.block_on(session.client.batch_execute("ROLLBACK"));
        still.expect("it was idle all the time");
    }
    let outcome = end(&mut bank, load);
    let rate = outcome.truth.waits(from, to).len() as u64 / idle.as_secs();
    let beside = outcome.p99(before, from).expect("events before");
    let told = Told {
        worst: outcome.worst(from, to),
        p99_after: outcome.p99(from, to),
        note: format!("{rate} events of accounts a second; before that a p99 of {} ms", beside.as_millis()),
    };
    let done = format!("a session idle in a transaction for {} s, in two databases", idle.as_secs());
    outcome.holds(&["F-10"], &done, &told);
    let worst = told.worst.expect("events were appended meanwhile");
    assert!(worst < idle, "an event waited for the idle session: {worst:?}");
}

fn begin(bank: &Bank, service: &str) -> Idle {
    let server = bank.postgres().expect("a server");
    let url = server.url_for("postgres", "postgres", &format!("bank_{service}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let client = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a session");
        tokio::spawn(connection);
        // With a number of its own, and everything that it could see kept for it.
        let sql =
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id(), count(*) FROM divisi_outbox";
        client.batch_execute(sql).await.expect("a transaction");
        client
    });
    Idle { runtime, client }
}
