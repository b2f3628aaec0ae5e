//! In debug builds a value that could not travel is found before it has to.

use std::sync::Arc;

use divisi::call::{Client, Place, Route};
use divisi::contract::CauseKind;
use divisi::{Answer, CallError, Context};

/// Says nothing about itself that could be written down.
#[derive(Clone, Debug, PartialEq, divisi::private::schemars::JsonSchema)]
#[schemars(crate = "divisi::private::schemars")]
pub(crate) struct Secret;

impl divisi::private::serde::Serialize for Secret {
    fn serialize<S: divisi::private::serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(divisi::private::serde::ser::Error::custom("it is a secret"))
    }
}

impl<'de> divisi::private::serde::Deserialize<'de> for Secret {
    fn deserialize<D: divisi::private::serde::Deserializer<'de>>(_: D) -> Result<Secret, D::Error> {
        Ok(Secret)
    }
}

#[divisi::contract]
pub(crate) trait Vault {
    /// Takes it in.
    async fn keep(&self, cx: &Context, secret: Secret) -> Answer<()>;
    /// Gives it out.
    async fn tell(&self, cx: &Context) -> Answer<Secret>;
}

struct Service;

impl Vault for Service {
    async fn keep(&self, _cx: &Context, _secret: Secret) -> Answer<()> {
        Ok(())
    }

    async fn tell(&self, _cx: &Context) -> Answer<Secret> {
        Ok(Secret)
    }
}

fn vault() -> VaultClient {
    let route = Route::new("vault");
    route.lead_to(Place::Local(vec![VaultClient::serve(Arc::new(Service), None)]));
    VaultClient::over("tests".into(), route)
}

#[tokio::test]
#[cfg(debug_assertions)]
async fn an_argument_that_could_not_travel_is_refused_before_the_method_runs() {
    let error = vault().keep(&Context::root("tests"), Secret).await.unwrap_err();
    assert!(matches!(&error, CallError::NotRun(cause) if cause.kind == CauseKind::Bug), "{error}");
    assert!(error.to_string().contains("it is a secret"), "{error}");
}

#[tokio::test]
#[cfg(debug_assertions)]
async fn an_answer_that_could_not_travel_is_a_bug_after_the_fact() {
    let error = vault().tell(&Context::root("tests")).await.unwrap_err();
    assert!(matches!(&error, CallError::MayHaveRun(cause) if cause.kind == CauseKind::Bug), "{error}");
}
