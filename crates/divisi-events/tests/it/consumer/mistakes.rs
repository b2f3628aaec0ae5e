//! The suite notices a consumer that leaves out what makes it safe.

use divisi_events::conformance::consumer;
use divisi_sqlite::{Options, Sqlite, Synchronous};
use divisi_store::mutation::{self, Mutation};

fn sqlite(dir: &tempfile::TempDir) -> Sqlite {
    Sqlite::new(dir.path(), Options { synchronous: Synchronous::Off, ..Options::default() })
}

// On one thread, since a mistake is made on the thread that asked for it.
#[tokio::test]
#[should_panic(expected = "each event once, in order per key")]
async fn applying_what_is_not_next_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    mutation::make(Some(Mutation::AcceptGap));
    consumer::repeats_and_shuffles_change_nothing(&sqlite(&dir)).await;
}

#[tokio::test]
#[should_panic(expected = "each event once, in order per key")]
async fn not_looking_at_the_watermark_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    mutation::make(Some(Mutation::NoCompareAndSet));
    consumer::two_of_one_name_do_no_harm(&sqlite(&dir)).await;
}
