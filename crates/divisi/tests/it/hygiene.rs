//! Generated code does not mind what users call their things.

use std::sync::Arc;

use divisi::call::{Client, Place, Route};
use divisi::{Answer, Context};

mod types {
    /// Shadows everything that generated code could mean.
    #[divisi::data]
    pub(crate) struct Option(pub(crate) u8);
    #[divisi::data]
    pub(crate) struct Box(pub(crate) u8);
    #[divisi::data]
    pub(crate) struct Result(pub(crate) u8);
}

use types::{Box, Option, Result};

#[allow(dead_code)]
trait Send {}

#[allow(dead_code)]
trait Future {}

/// Has the methods and arguments that generated code has.
#[divisi::contract]
pub(crate) trait Odd {
    #[post("/odd/{callee}", keyed)]
    async fn call(&self, request: &Context, callee: u8, held: Box) -> Answer<Result>;
    #[get("/odd/{method}")]
    async fn contract(&self, cx: &Context, method: u8, outcome: u8, parts: u8) -> Answer<u8>;
    async fn clone(&self, cx: &Context, derived: Option) -> Answer<u8>;
    async fn dispatch(&self, cx: &Context, bytes: u8, work: u8) -> Answer<u8>;
    async fn r#move(&self, cx: &Context, r#type: u8) -> Answer<u8>;
    #[deprecated = "it is not needed any more"]
    async fn drop(&self, cx: &Context) -> Answer<()>;
}

struct Service;

impl Odd for Service {
    async fn call(&self, _cx: &Context, callee: u8, held: Box) -> Answer<Result> {
        Ok(Result(callee + held.0))
    }

    async fn contract(&self, _cx: &Context, method: u8, outcome: u8, parts: u8) -> Answer<u8> {
        Ok(method + outcome + parts)
    }

    async fn clone(&self, _cx: &Context, derived: Option) -> Answer<u8> {
        Ok(derived.0)
    }

    async fn dispatch(&self, _cx: &Context, bytes: u8, work: u8) -> Answer<u8> {
        Ok(bytes + work)
    }

    async fn r#move(&self, _cx: &Context, r#type: u8) -> Answer<u8> {
        Ok(r#type)
    }

    async fn drop(&self, _cx: &Context) -> Answer<()> {
        Ok(())
    }
}

#[tokio::test]
async fn names_of_users_and_of_generated_code_do_not_meet() {
    let route = Route::new("odd");
    route.lead_to(Place::Local(vec![OddClient::serve(Arc::new(Service), None)]));
    let odd = OddClient::over("tests".into(), route);
    let cx = Context::root("tests");
    assert_eq!(odd.call(&cx, 1, Box(2)).await, Ok(Result(3)));
    assert_eq!(odd.contract(&cx, 1, 2, 3).await, Ok(6));
    assert_eq!(odd.clone(&cx, Option(4)).await, Ok(4));
    assert_eq!(odd.dispatch(&cx, 1, 2).await, Ok(3));
    assert_eq!(odd.r#move(&cx, 5).await, Ok(5));
    let names: Vec<_> = <OddClient as Client>::contract().methods.iter().map(|method| &method.name).collect();
    assert_eq!(names, ["call", "contract", "clone", "dispatch", "move", "drop"]);
}
