//! A comment was added: it is judged.

use blog_contracts::{CommentCreated, CommentModerated};
use divisi::{Failure, Tx, params};

use crate::judge::judge;

pub(crate) async fn on_comment_created(tx: &mut Tx, event: &CommentCreated) -> Result<(), Failure> {
    let status = judge(&event.content);
    tx.send("INSERT INTO judged (id, status) VALUES ($1, $2)", params![event.id.0, status.as_str()]).await?;
    tx.emit(CommentModerated { id: event.id.clone(), post: event.post.clone(), status });
    Ok(())
}
