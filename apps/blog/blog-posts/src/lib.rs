//! The blog's posts: created here, asked for by others.

mod create;
mod posts_table;

use blog_contracts::{
    BadPage, CreateRefused, NewPost, NoSuchPost, PAGE_DEFAULT, PAGE_MAX, Post, PostCreated, PostId, Posts,
    PostsClient,
};
use divisi::{Answer, Context, Invalid, Migration, Service, Store, refuse};

/// The posts service.
pub fn service() -> Service {
    Service::new("posts")
        .migrations([Migration::new(1, "posts", include_str!("../migrations/0001_posts.sql"))])
        .emits::<PostCreated>()
        .serves::<PostsClient, _>(|parts| PostsService { store: parts.store() })
}

struct PostsService {
    store: Store,
}

impl Posts for PostsService {
    async fn create(&self, cx: &Context, post: NewPost) -> Answer<Post, CreateRefused> {
        create::create(self, cx, post).await
    }

    async fn get(&self, _: &Context, id: PostId) -> Answer<Post, NoSuchPost> {
        let found = self.store.read(async |read| posts_table::get(read, &id).await).await?;
        found.map_or_else(|| refuse(NoSuchPost::NoSuchPost), Ok)
    }

    async fn by_ids(&self, _: &Context, ids: Vec<PostId>) -> Answer<Vec<Post>, BadPage> {
        Invalid::none()
            .unless(ids.len() <= PAGE_MAX as usize, "ids", format!("must be at most {PAGE_MAX}"))
            .done()?;
        Ok(self.store.read(async |read| posts_table::by_ids(read, ids).await).await?)
    }

    async fn list(
        &self,
        _: &Context,
        after: Option<PostId>,
        limit: Option<u32>,
    ) -> Answer<Vec<Post>, BadPage> {
        let limit = limit.unwrap_or(PAGE_DEFAULT);
        Invalid::none()
            .unless((1..=PAGE_MAX).contains(&limit), "limit", format!("must be 1 to {PAGE_MAX}"))
            .done()?;
        Ok(self.store.read(async |read| posts_table::list(read, after.as_ref(), limit).await).await?)
    }
}
