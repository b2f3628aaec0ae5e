//! The blog's comments: added here, judged elsewhere, their status set here alone.

mod add;
mod comments_table;
mod of_post;
mod on_comment_moderated;
mod on_post_created;
mod posts_table;

use blog_contracts::comments::OfPost;
use blog_contracts::{
    AddRefused, BadPage, Comment, CommentCreated, CommentUpdated, Comments, CommentsClient, NewComment,
    NoSuchPost, PostId, PostsClient,
};
use divisi::{Answer, Context, Migration, Service, Store};

/// The comments service.
pub fn service() -> Service {
    Service::new("comments")
        .migrations([Migration::new(1, "comments", include_str!("../migrations/0001_comments.sql"))])
        .emits::<CommentCreated>()
        .emits::<CommentUpdated>()
        .calls::<PostsClient>()
        .serves::<CommentsClient, _>(|parts| CommentsService { store: parts.store(), posts: parts.client() })
        .on(on_post_created::on_post_created)
        .on(on_comment_moderated::on_comment_moderated)
}

struct CommentsService {
    store: Store,
    posts: PostsClient,
}

impl Comments for CommentsService {
    async fn add(&self, cx: &Context, post: PostId, comment: NewComment) -> Answer<Comment, AddRefused> {
        add::add(self, cx, post, comment).await
    }

    async fn of_post(&self, cx: &Context, post: PostId) -> Answer<Vec<Comment>, NoSuchPost> {
        of_post::of_post(self, cx, post).await
    }

    async fn of_posts(&self, _: &Context, posts: Vec<PostId>) -> Answer<Vec<OfPost>, BadPage> {
        of_post::of_posts(self, posts).await
    }
}

impl CommentsService {
    /// Whether a post exists. One that is not known here yet may have been created a moment ago: posts knows.
    async fn post_exists(&self, cx: &Context, post: &PostId) -> Answer<bool, NoSuchPost> {
        if self.store.read(async |read| posts_table::exists(read, post).await).await? {
            return Ok(true);
        }
        match self.posts.get(cx, post.clone()).await {
            Ok(_) => Ok(true),
            Err(error) if error.refusal().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
