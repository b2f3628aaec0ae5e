//! A comment was judged: its status is set here, and everybody is told how it looks now.

use blog_contracts::{CommentModerated, CommentUpdated};
use divisi::{Failure, Tx};

use crate::comments_table;

pub(crate) async fn on_comment_moderated(tx: &mut Tx, event: &CommentModerated) -> Result<(), Failure> {
    let Some((content, version)) = comments_table::set_status(tx, &event.id, event.status).await? else {
        return Err(Failure::permanent(format_args!("comment `{}` was judged, but is not here", event.id)));
    };
    tx.emit(CommentUpdated {
        id: event.id.clone(),
        post: event.post.clone(),
        content,
        status: event.status,
        version,
    });
    Ok(())
}
