//! The blog's query: posts with their comments, folded from everybody's events, read in one go.

mod fold;
mod posts_table;

use blog_contracts::{
    BadPage, NoSuchPost, PAGE_DEFAULT, PAGE_MAX, PostId, PostWithComments, Query, QueryClient,
};
use divisi::{Answer, Context, Invalid, Migration, Projection, ReadModel, Service, refuse};

/// The query service.
pub fn service() -> Service {
    Service::new("query")
        .projection(posts())
        .serves::<QueryClient, _>(|parts| QueryService { posts: parts.read_model("posts") })
}

fn posts() -> Projection {
    Projection::new("posts", 1)
        .migrations([Migration::new(1, "posts", include_str!("../migrations/0001_posts.sql"))])
        .on(fold::post_created)
        .on(fold::comment_created)
        .on(fold::comment_updated)
}

struct QueryService {
    posts: ReadModel,
}

impl Query for QueryService {
    async fn posts(
        &self,
        _: &Context,
        after: Option<PostId>,
        limit: Option<u32>,
    ) -> Answer<Vec<PostWithComments>, BadPage> {
        let limit = limit.unwrap_or(PAGE_DEFAULT);
        Invalid::none()
            .unless((1..=PAGE_MAX).contains(&limit), "limit", format!("must be 1 to {PAGE_MAX}"))
            .done()?;
        Ok(self.posts.read(async |read| posts_table::list(read, after.as_ref(), limit).await).await?)
    }

    async fn post(&self, _: &Context, id: PostId) -> Answer<PostWithComments, NoSuchPost> {
        let found = self.posts.read(async |read| posts_table::get(read, &id).await).await?;
        found.map_or_else(|| refuse(NoSuchPost::NoSuchPost), Ok)
    }
}
