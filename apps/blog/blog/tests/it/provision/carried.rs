//! Whether events come through the broker: by the log they would come as well.

use std::collections::BTreeMap;
use std::time::Duration;

use divisi_testkit::eventually;

use crate::blog::{Blog, Writer};
use crate::metrics::figures;
use crate::scenario::quiet;

const PATIENCE: Duration = Duration::from_secs(60);

/// Comments a post until comments come through the broker to both who hear them; how many there are then.
///
/// All are in the lane of their post, which goes to the carrier with an event that it brings in time, and to the log with
/// one that it does not. So a lane that is there before and after some comments, and was nowhere else, has them from there.
pub(super) fn comments_come_through(blog: &Blog, writer: &mut Writer, post: &str) -> usize {
    let mut n_comments = 0;
    let mut some_more = || {
        let before = figures(blog.address);
        for _ in 0..3 {
            n_comments += 1;
            writer.comment(post, "a comment", &format!("c{n_comments}"));
        }
        quiet(writer, 1, n_comments);
        [before, figures(blog.address)].map(|seen| {
            (of(&seen, "divisi_consumer_carried_lanes"), of(&seen, "divisi_consumer_falls_total"))
        })
    };
    eventually("comments come through the broker", PATIENCE, &mut some_more, |[before, after]| {
        before == after && before.0 == [1, 1]
    });
    n_comments
}

/// Of each who hears the comments.
fn of(seen: &BTreeMap<String, i64>, name: &str) -> Vec<i64> {
    let wanted = |key: &str| key.starts_with(name) && key.ends_with("topic=\"comments\"}");
    seen.iter().filter(|(key, _)| wanted(key)).map(|(_, n)| *n).collect()
}
