//! The blog's moderation: hears of comments, judges them, announces what it thinks. Nobody calls it.

mod judge;
mod on_comment_created;

use blog_contracts::CommentModerated;
use divisi::{Migration, Service};

/// The moderation service.
pub fn service() -> Service {
    Service::new("moderation")
        .migrations([Migration::new(1, "judged", include_str!("../migrations/0001_moderation.sql"))])
        .emits::<CommentModerated>()
        .on(on_comment_created::on_comment_created)
}
