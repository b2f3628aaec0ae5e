//! Creates a post: its row and the news of it, in one transaction.

use blog_contracts::{CreateRefused, NewPost, Post, PostCreated, PostId};
use divisi::{Answer, Context};
use uuid::Uuid;

use crate::{PostsService, posts_table};

pub(crate) async fn create(posts: &PostsService, cx: &Context, new: NewPost) -> Answer<Post, CreateRefused> {
    let new = new.check()?;
    posts
        .store
        .transact(cx, async |tx| {
            let post = Post { id: PostId(Uuid::now_v7().to_string()), title: new.title };
            posts_table::insert(tx, &post).await?;
            tx.emit(PostCreated { id: post.id.clone(), title: post.title.clone() });
            Ok(post)
        })
        .await
}
