//! How events become posts with comments. Order is promised a post's comments among themselves, not across topics.

use blog_contracts::{CommentCreated, CommentUpdated, PostCreated};
use divisi::{Failure, Fold, params};

use crate::posts_table;

pub(crate) async fn post_created(fold: &mut Fold<'_>, event: &PostCreated) -> Result<(), Failure> {
    let sql = "INSERT INTO posts (id, title) VALUES ($1, $2)";
    fold.send(sql, params![event.id.0, event.title]).await?;
    Ok(())
}

/// A comment can come before its post, which has another topic: then it waits for it.
pub(crate) async fn comment_created(fold: &mut Fold<'_>, event: &CommentCreated) -> Result<(), Failure> {
    if !posts_table::exists(fold, &event.post).await? {
        return Err(Failure::not_yet::<PostCreated>(event.post.to_string()));
    }
    let sql = "INSERT INTO comments (id, post, content, status, version) VALUES ($1, $2, $3, $4, 1)";
    fold.send(sql, params![event.id.0, event.post.0, event.content, event.status.as_str()]).await?;
    Ok(())
}

/// The comment as its owner says that it is; an older word of it changes nothing.
pub(crate) async fn comment_updated(fold: &mut Fold<'_>, event: &CommentUpdated) -> Result<(), Failure> {
    let sql = "UPDATE comments SET content = $2, status = $3, version = $4 WHERE id = $1 AND version < $4";
    fold.send(sql, params![event.id.0, event.content, event.status.as_str(), event.version]).await?;
    Ok(())
}
