//! F-1 and F-4: a process that is killed before it commits, or before it has told anybody.

use std::process::Command;

use divisi_postgres::{FAILPOINTS, Postgres, Urls};
use divisi_store::conformance::account::{deposit, is_consistent, schema};
use divisi_store::{StoreName, Stores};

use crate::fixture::{databases, options};

/// Where the process that is to be killed finds its database.
const URL: &str = "DIVISI_TEST_URL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_at_a_commit_leaves_all_of_it_or_nothing() {
    if let Ok(url) = std::env::var(URL) {
        let stores = Postgres::new(Urls::none().with("bank", url), options());
        let store = stores.open(&StoreName::of("bank"), &schema()).await.expect("it opens");
        deposit(&store, "a", 1).await.expect("the first is let pass");
        deposit(&store, "a", 1).await.expect("it is killed");
        return;
    }
    for (point, expected) in FAILPOINTS.iter().zip([1, 2]) {
        let databases = databases().await;
        let (store, _) = databases.bank().await;
        let test = "killed::a_process_that_is_killed_at_a_commit_leaves_all_of_it_or_nothing";
        let killed = Command::new(std::env::current_exe().expect("this binary"))
            .args([test, "--exact", "--test-threads=1"])
            .env(URL, databases.url("bank"))
            .env("DIVISI_FAIL", format!("{point}=kill@2"))
            .output()
            .expect("this binary starts again");
        assert!(!killed.status.success(), "{point}: it was to be killed");
        // The lane's lock went with the connection.
        let (balance, positions) = deposit(&store, "a", 1).await.expect("it commits");
        assert_eq!((balance, positions[0].pos.0), (expected + 1, expected + 1), "{point}");
        is_consistent(&store).await;
    }
}
