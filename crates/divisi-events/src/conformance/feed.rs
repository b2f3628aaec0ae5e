//! What every way to a log promises: in process and over a network alike.

mod bench;
mod epochs;
mod reading;
mod refusing;
mod waiting;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use divisi_contract::{Event, ServiceName};
use divisi_store::{Schema, Store};

use self::bench::Noted;
use crate::fetch::Feed;
use crate::log_feed::Log;

/// The service whose log it is.
pub const SOURCE: &str = "conformance";
/// The service that reads it.
pub const LISTENER: &str = "suite";

/// Holds a way to a log against everything that consumers rely on; panics at the first promise that is broken.
///
/// `open` opens a new, empty store of the service [`SOURCE`] with this schema. `reach` yields the log as the service
/// that is named sees it. Both are asked once a promise, so that none sees what another one left behind; what they
/// start is theirs to keep until the suite is over. The clock must not be paused: the suite has deadlines of its own.
pub async fn feed_suite<O, OF, R, RF>(open: O, reach: R)
where
    O: Fn(Schema) -> OF,
    OF: Future<Output = Store>,
    R: Fn(Arc<Log>, ServiceName) -> RF,
    RF: Future<Output = Arc<dyn Feed>>,
{
    let open = |schema| -> Boxed<'_, Store> { Box::pin(open(schema)) };
    let reach = |log, caller| -> Boxed<'_, Arc<dyn Feed>> { Box::pin(reach(log, caller)) };
    let make = &Make { open: &open, reach: &reach };
    reading::every_lane_is_contiguous_and_true(make).await;
    reading::lanes_are_served_in_turn_in_the_order_of_the_question(make).await;
    reading::the_first_record_is_sent_whatever_its_size(make).await;
    reading::a_question_may_be_repeated(make).await;
    reading::no_room_for_records_brings_ends_at_once(make).await;
    waiting::a_commit_ends_the_wait(make).await;
    waiting::a_commit_to_another_lane_does_not(make).await;
    waiting::the_end_of_the_wait_brings_ends(make).await;
    waiting::a_question_taken_back_leaves_nothing_behind(make).await;
    waiting::sixty_four_wait_and_each_is_woken_by_its_own_lane(make).await;
    waiting::a_log_that_closes_sends_everybody_away(make).await;
    epochs::a_reader_of_an_older_epoch_is_told_at_once(make).await;
    epochs::an_epoch_that_begins_ends_the_wait(make).await;
    epochs::a_reader_of_a_later_epoch_gets_no_records(make).await;
    refusing::what_retention_removed_is_refused(make).await;
    refusing::strangers_are_refused(make).await;
    refusing::nonsense_did_not_run(make).await;
    refusing::progress_is_kept_and_may_go_back(make).await;
}

/// What the suite was given.
struct Make<'a> {
    open: &'a dyn Fn(Schema) -> Boxed<'a, Store>,
    reach: &'a dyn Fn(Arc<Log>, ServiceName) -> Boxed<'a, Arc<dyn Feed>>,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

fn schema() -> Schema {
    Schema { topics: vec![Noted::TOPIC], readers: vec![(LISTENER.into(), Noted::TOPIC)], ..Schema::default() }
}
