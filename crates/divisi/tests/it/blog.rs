//! A contract, an event and refusals as an app writes them, with `divisi` alone.

use divisi::call::{Client, Place, Route};
use divisi::{Answer, Context, Event, Invalid, Refusal, refuse};
use std::sync::Arc;

/// A post's id.
#[divisi::data]
#[derive(Eq, Hash)]
pub(crate) struct PostId(pub(crate) String);

impl std::fmt::Display for PostId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A comment to be.
#[divisi::data]
pub(crate) struct NewComment {
    pub(crate) content: String,
}

/// A comment.
#[divisi::data]
pub(crate) struct Comment {
    pub(crate) post: PostId,
    pub(crate) content: String,
}

/// Why a comment was not added.
#[divisi::refusal]
pub(crate) enum AddRefused {
    /// Nobody wrote that post.
    #[refuse(404, "no post has the id {0}")]
    NoSuchPost(PostId),
    /// It breaks a rule.
    #[refuse(422, "the comment breaks a rule: {0}")]
    Invalid(#[from] Invalid),
    /// Too much.
    #[refuse(429, "at most {limit} comments a minute")]
    TooMany {
        /// How many.
        limit: u32,
    },
}

/// Adds comments.
#[divisi::contract]
pub(crate) trait Comments {
    /// Adds a comment; it stays pending until moderation has judged it.
    #[post("/posts/{post}/comments", status = 201, keyed)]
    async fn add(&self, cx: &Context, post: PostId, comment: NewComment) -> Answer<Comment, AddRefused>;
    /// The comments of a post.
    #[get("/posts/{post}/comments")]
    async fn of_post(&self, cx: &Context, post: PostId, limit: Option<u32>) -> Answer<Vec<Comment>>;
    #[call(idempotent)]
    async fn nothing(&self, cx: &Context) -> Answer<()>;
}

/// A comment was made.
#[divisi::event(topic = "comments", key = "post", version = 2)]
pub(crate) struct CommentCreated {
    pub(crate) post: PostId,
    pub(crate) content: String,
}

struct Service;

impl Comments for Service {
    async fn add(&self, _cx: &Context, post: PostId, comment: NewComment) -> Answer<Comment, AddRefused> {
        Invalid::none().unless(!comment.content.is_empty(), "content", "must not be empty").done()?;
        if post.0 == "none" {
            return refuse(AddRefused::NoSuchPost(post));
        }
        Ok(Comment { post, content: comment.content })
    }
    async fn of_post(&self, _cx: &Context, post: PostId, limit: Option<u32>) -> Answer<Vec<Comment>> {
        tokio::task::yield_now().await;
        Ok(vec![Comment { post, content: format!("{limit:?}") }])
    }
    async fn nothing(&self, _cx: &Context) -> Answer<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_service_in_this_process_is_called_by_its_client() {
    let route = Route::new("comments");
    route.lead_to(Place::Local(vec![CommentsClient::serve(Arc::new(Service), None)]));
    let comments = CommentsClient::over("tests".into(), route);
    let cx = Context::root("tests");
    let post = PostId("1".to_owned());
    let added = comments.add(&cx, post.clone(), NewComment { content: "hm".to_owned() }).await.unwrap();
    assert_eq!(added, Comment { post: post.clone(), content: "hm".to_owned() });
    let error = comments
        .add(&cx, PostId("none".to_owned()), NewComment { content: "hm".to_owned() })
        .await
        .unwrap_err();
    assert_eq!(error.refusal().unwrap().to_string(), "no post has the id none");
    let error = comments.add(&cx, post.clone(), NewComment { content: String::new() }).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().errors().len(), 1);
    comments.nothing(&cx).await.unwrap();
    assert_eq!(CommentCreated { post, content: String::new() }.key(), "1");
}
