use divisi_call::{BoxFuture, EdgeError, EdgeRequest};
use divisi_contract::{Argument, Context, Repeat};
use serde_json::json;

use super::*;

/// An edge that has a contract and nothing behind it.
struct Paper(&'static Contract);

impl Edge for Paper {
    fn contract(&self) -> &'static Contract {
        self.0
    }
    fn call<'a>(
        &'a self,
        _: usize,
        _: &'a Context,
        _: EdgeRequest<'a>,
    ) -> BoxFuture<'a, Result<Vec<u8>, EdgeError>> {
        Box::pin(async { Err(divisi_call::edge::no_such_route(&self.0.name)) })
    }
}

fn edge(name: &str, arguments: &[&str], routes: &[(Verb, &str, u16)]) -> Arc<dyn Edge> {
    let argument = |name: &&str| Argument { name: (*name).to_owned(), schema: json!(true) };
    let route = |&(verb, path, status): &(Verb, &str, u16)| Route { verb, path: path.to_owned(), status };
    let method = Method {
        name: "run".to_owned(),
        docs: String::new(),
        repeat: Repeat::Once,
        routes: routes.iter().map(route).collect(),
        arguments: arguments.iter().map(argument).collect(),
        answer: json!(true),
        refusals: Vec::new(),
    };
    let contract = Contract { name: name.to_owned(), version: 1, docs: String::new(), methods: vec![method] };
    Arc::new(Paper(Box::leak(Box::new(contract))))
}

fn refused(edges: &[Arc<dyn Edge>]) -> String {
    table(edges).err().expect("the routes were taken").to_string()
}

#[test]
fn two_contracts_at_one_path_share_it_by_verb() {
    let table = table(&[
        edge("posts", &["post"], &[(Verb::Get, "/posts/{post}", 200)]),
        edge("bin", &["id"], &[(Verb::Delete, "/posts/{id}", 204)]),
        edge("archive", &[], &[(Verb::Get, "/posts/archive", 200)]),
    ])
    .unwrap();
    let paths: Vec<(&str, usize)> = table.iter().map(|(path, verbs)| (path.as_str(), verbs.len())).collect();
    assert_eq!(paths, [("/posts/archive", 1), ("/posts/{a1}", 2)]);
}

#[test]
fn two_contracts_that_want_the_same_route_are_refused_in_words() {
    let posts = edge("posts", &["post"], &[(Verb::Get, "/posts/{post}", 200)]);
    let query = edge("query", &["id"], &[(Verb::Get, "/posts/{id}", 200)]);
    assert_eq!(
        refused(&[posts, query]),
        "`GET /posts/{id}` is wanted by `query.run`, but it is `posts.run`'s already"
    );
}

#[test]
fn a_route_of_the_gateway_itself_is_not_given_away() {
    let greedy = edge("greedy", &[], &[(Verb::Post, "/readyz", 200)]);
    assert_eq!(refused(&[greedy]), "`/readyz` is wanted by `greedy.run`, but it belongs to the gateway");
}

#[test]
fn a_route_that_cannot_be_served_says_why() {
    let check = |arguments: &[&str], route, reason: &str| {
        let sentence = refused(&[edge("odd", arguments, &[route])]);
        assert!(sentence.ends_with(reason), "{sentence}");
    };
    check(&[], (Verb::Get, "posts", 200), "a path starts with `/`");
    check(&[], (Verb::Get, "/posts/{id}", 200), "the method has no argument `id`");
    check(&["a", "b"], (Verb::Post, "/posts", 201), "more than one argument would be the body");
    check(&[], (Verb::Get, "/posts", 404), "404 is not the status of an answer");
    check(&[], (Verb::Get, "/posts", 7), "7 is not the status of an answer");
}

#[test]
fn arguments_come_from_path_query_and_body_as_the_verb_says() {
    let table = table(&[edge("a", &["x", "y"], &[(Verb::Get, "/g/{x}", 200), (Verb::Post, "/p/{x}", 201)])]);
    let table = table.unwrap();
    let (get, post) = (&table["/g/{a1}"][&Verb::Get], &table["/p/{a1}"][&Verb::Post]);
    assert_eq!((get.query.as_slice(), get.takes_body), (["y"].as_slice(), false));
    assert_eq!((post.query.as_slice(), post.takes_body), ([].as_slice(), true));
}
