//! What moderation announces. It promises no methods: it listens and judges.

use crate::{CommentId, PostId, Status};

/// A comment was judged.
#[divisi::event(topic = "moderation", key = "id")]
pub struct CommentModerated {
    /// Which one.
    pub id: CommentId,
    /// The post it stands under.
    pub post: PostId,
    /// Approved or rejected.
    pub status: Status,
}
