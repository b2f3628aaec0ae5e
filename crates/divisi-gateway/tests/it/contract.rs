//! A contract made by the macro, from its trait to the wire.

use std::sync::{Arc, Mutex, PoisonError};

use divisi_call::{Client, Place, Route};
use divisi_contract::{Answer, Context, Invalid, refuse};
use divisi_gateway::{Gateway, Limits};
use serde_json::json;

use crate::client::Running;

/// A post.
#[divisi_macros::data(crate = divisi_call)]
struct Post {
    id: u64,
    title: String,
}

/// A post that is not there yet.
#[divisi_macros::data(crate = divisi_call)]
struct NewPost {
    title: String,
    tags: Vec<String>,
}

/// Why posts says no.
#[divisi_macros::refusal(crate = divisi_call)]
enum PostsRefused {
    #[refuse(404, "no post has the id {id}")]
    NoSuchPost { id: u64 },
    #[refuse(422, "the post breaks a rule")]
    Invalid(#[from] Invalid),
}

/// What posts promises.
#[divisi_macros::contract(crate = divisi_call)]
trait Posts {
    /// Creates a post.
    #[post("/posts", status = 201)]
    #[post("/posts/create", status = 201)]
    async fn create(&self, cx: &Context, post: NewPost) -> Answer<Post, PostsRefused>;
    /// Gets a post.
    #[get("/posts/{id}")]
    async fn get(&self, cx: &Context, id: u64) -> Answer<Post, PostsRefused>;
    /// Lists posts.
    #[get("/posts")]
    async fn list(&self, cx: &Context, after: Option<u64>, limit: Option<u32>) -> Answer<Vec<Post>>;
    /// Removes a post.
    #[delete("/posts/{id}", status = 204)]
    async fn remove(&self, cx: &Context, id: u64) -> Answer<()>;
    /// Panics.
    #[post("/panic")]
    async fn panic(&self, cx: &Context) -> Answer<()>;
}

#[derive(Default)]
struct Service(Mutex<Vec<Post>>);

impl Service {
    fn posts(&self) -> std::sync::MutexGuard<'_, Vec<Post>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Posts for Service {
    async fn create(&self, _cx: &Context, post: NewPost) -> Answer<Post, PostsRefused> {
        let NewPost { title, tags } = post;
        Invalid::none()
            .unless(!title.is_empty(), "title", "must not be empty")
            .unless(tags.len() <= 1, "tags", "has more than one")
            .done()?;
        let mut posts = self.posts();
        let post = Post { id: posts.len() as u64, title };
        posts.push(post.clone());
        Ok(post)
    }

    async fn get(&self, _cx: &Context, id: u64) -> Answer<Post, PostsRefused> {
        match self.posts().iter().find(|post| post.id == id) {
            Some(post) => Ok(post.clone()),
            None => refuse(PostsRefused::NoSuchPost { id }),
        }
    }

    async fn list(&self, _cx: &Context, after: Option<u64>, limit: Option<u32>) -> Answer<Vec<Post>> {
        let posts = self.posts().clone().into_iter();
        let after = posts.filter(|post| after.is_none_or(|after| post.id > after));
        Ok(after.take(limit.unwrap_or(100) as usize).collect())
    }

    async fn remove(&self, _cx: &Context, id: u64) -> Answer<()> {
        self.posts().retain(|post| post.id != id);
        Ok(())
    }

    async fn panic(&self, _cx: &Context) -> Answer<()> {
        panic!("secret words of a panic")
    }
}

async fn running(place: impl FnOnce() -> Option<Place>) -> Running {
    let route = Route::new("posts");
    if let Some(place) = place() {
        route.lead_to(place);
    }
    let client = PostsClient::over("gateway".into(), route);
    Running::start(Gateway::new("gateway".into(), vec![Arc::new(client)], Limits::default()).unwrap()).await
}

fn here() -> Option<Place> {
    Some(Place::Local(vec![PostsClient::serve(Arc::new(Service::default()), None)]))
}

#[tokio::test]
async fn a_contract_is_served_as_its_routes_say() {
    let running = running(here).await;
    let mut client = running.connect().await;
    for (path, id) in [("/posts", 0), ("/posts/create", 1), ("/posts", 2)] {
        let reply = client.ask_json(&format!("POST {path}"), r#"{"title":"x","tags":[]}"#).await;
        assert_eq!((reply.status, reply.json()), (201, json!({ "id": id, "title": "x" })));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    let reply = client.ask("GET /posts/1", &[], b"").await;
    assert_eq!((reply.status, reply.json()), (200, json!({ "id": 1, "title": "x" })));
    let reply = client.ask("GET /posts?after=0&limit=1", &[], b"").await;
    assert_eq!((reply.status, reply.json()), (200, json!([{ "id": 1, "title": "x" }])));
    assert_eq!(client.ask("DELETE /posts/1", &[], b"").await.status, 204);
    let problem = client.ask("GET /posts/1", &[], b"").await.problem(404, "no-such-post");
    assert_eq!(problem["detail"], "no post has the id 1");
}

#[tokio::test]
async fn what_breaks_the_contract_is_refused_with_every_reason() {
    let running = running(here).await;
    let mut client = running.connect().await;
    let problem =
        client.ask_json("POST /posts", r#"{"title":"","tags":["a","b"]}"#).await.problem(422, "invalid");
    assert_eq!(
        problem["errors"],
        json!([
            { "message": "must not be empty", "field": "title" },
            { "message": "has more than one", "field": "tags" },
        ])
    );
    let problem = client.ask_json("POST /posts", r#"{"title":"x"}"#).await.problem(422, "invalid");
    assert_eq!(problem["errors"], json!([{ "message": "is missing", "field": "tags" }]));
    client.ask_json("POST /posts", "{\"title\":").await.problem(400, "bad-request");
    let problem = client.ask("POST /posts", &[], b"").await.problem(400, "bad-request");
    assert_eq!(problem["errors"][0]["message"], "the request needs a JSON body");
    let problem = client.ask("GET /posts/seven", &[], b"").await.problem(400, "bad-request");
    assert_eq!(problem["errors"][0]["field"], "id");
    let problem = client.ask("GET /posts?after=x&limit=y", &[], b"").await.problem(400, "bad-request");
    let fields: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().filter_map(|error| error["field"].as_str()).collect();
    assert_eq!(fields, ["after", "limit"]);
}

#[tokio::test]
async fn a_service_that_panics_or_is_not_there_is_a_problem() {
    let running_here = running(here).await;
    let problem = running_here.ask("POST /panic").await.problem(500, "bug");
    assert_eq!(problem["did_it_run"], "unknown");
    assert!(!problem.to_string().contains("secret"));
    let nowhere = running(|| None).await;
    assert_eq!(nowhere.ask("GET /posts").await.problem(503, "unavailable")["did_it_run"], "no");
}
