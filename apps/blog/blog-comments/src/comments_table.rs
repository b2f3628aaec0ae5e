//! Comments and their status.

use blog_contracts::{Comment, CommentId, PostId, Status};
use divisi::{Read, StoreError, Tx, params};

pub(crate) async fn insert(tx: &mut Tx, post: &PostId, comment: &Comment) -> Result<(), StoreError> {
    let sql = "INSERT INTO comments (id, post, content, status, version) VALUES ($1, $2, $3, $4, 1)";
    tx.send(sql, params![comment.id.0, post.0, comment.content, comment.status.as_str()]).await
}

/// Sets the status; brings the content and the new version, or nothing when there is no such comment.
pub(crate) async fn set_status(
    tx: &mut Tx,
    id: &CommentId,
    status: Status,
) -> Result<Option<(String, u32)>, StoreError> {
    let sql =
        "UPDATE comments SET status = $2, version = version + 1 WHERE id = $1 RETURNING content, version";
    tx.query_opt(sql, params![id.0, status.as_str()]).await
}

pub(crate) async fn of_post(read: &mut Read, post: &PostId) -> Result<Vec<Comment>, StoreError> {
    let sql = "SELECT id, content, status FROM comments WHERE post = $1 ORDER BY id";
    let rows: Vec<(String, String, String)> = read.query(sql, params![post.0]).await?;
    let comment = |(id, content, status): (String, String, String)| Comment {
        id: CommentId(id),
        content,
        status: Status::read(&status),
    };
    Ok(rows.into_iter().map(comment).collect())
}
