//! Adds a comment: its row and the news of it, in one transaction.

use blog_contracts::{AddRefused, Comment, CommentCreated, CommentId, NewComment, PostId, Status};
use divisi::{Answer, Context, refuse};
use uuid::Uuid;

use crate::{CommentsService, comments_table};

pub(crate) async fn add(
    comments: &CommentsService,
    cx: &Context,
    post: PostId,
    new: NewComment,
) -> Answer<Comment, AddRefused> {
    let new = new.check()?;
    let exists = comments
        .post_exists(cx, &post)
        .await
        .map_err(|error| error.map_refusal(|_| AddRefused::NoSuchPost))?;
    if !exists {
        return refuse(AddRefused::NoSuchPost);
    }
    comments
        .store
        .transact(cx, async |tx| {
            let id = CommentId(Uuid::now_v7().to_string());
            let comment = Comment { id, content: new.content, status: Status::Pending };
            comments_table::insert(tx, &post, &comment).await?;
            tx.emit(CommentCreated {
                id: comment.id.clone(),
                post,
                content: comment.content.clone(),
                status: comment.status,
            });
            Ok(comment)
        })
        .await
}
