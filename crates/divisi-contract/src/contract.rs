//! A contract as data: what the gateway, the handshake and the compatibility check read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RefusalSpec;

/// What a service promises, as data. Made by `#[contract]` from the trait, never by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// The name, in kebab-case: the trait's.
    pub name: String,
    /// The major version; two sides with different ones do not talk.
    pub version: u32,
    /// The trait's documentation.
    pub docs: String,
    /// The methods, in the order of the trait.
    pub methods: Vec<Method>,
}

/// One method of a contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Method {
    /// Its name in the trait.
    pub name: String,
    /// Its documentation.
    pub docs: String,
    /// What may be done with a call whose outcome is not known.
    pub repeat: Repeat,
    /// Where the gateway serves it; none when it is for services alone.
    pub routes: Vec<Route>,
    /// The arguments in order, without `&self` and the context.
    pub arguments: Vec<Argument>,
    /// JSON Schema of the answer.
    pub answer: Value,
    /// What it may refuse with.
    pub refusals: Vec<RefusalSpec>,
}

/// What may be done with a call whose outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Nothing: twice is twice.
    Once,
    /// Twice is as good as once.
    Idempotent,
    /// Twice under the same idempotency key is as good as once: the answer is kept.
    Keyed,
}

/// An argument of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its JSON Schema.
    pub schema: Value,
}

/// Where the gateway serves a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The HTTP verb.
    pub verb: Verb,
    /// The path, with arguments in braces: `/posts/{post}/comments`.
    pub path: String,
    /// The status of an answer.
    pub status: u16,
}

/// An HTTP verb of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// Reads; arguments that are not in the path are in the query.
    Get,
    /// Writes; the argument that is not in the path is the body.
    Post,
    /// Writes; the argument that is not in the path is the body.
    Put,
    /// Writes; the argument that is not in the path is the body.
    Patch,
    /// Removes; arguments that are not in the path are in the query.
    Delete,
}

impl Contract {
    /// The method called `name`.
    pub fn method(&self, name: &str) -> Option<&Method> {
        self.methods.iter().find(|method| method.name == name)
    }
}

impl Verb {
    /// The verb as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
        }
    }

    /// Whether arguments that are not in the path come from the body, not from the query.
    pub fn has_body(self) -> bool {
        matches!(self, Verb::Post | Verb::Put | Verb::Patch)
    }
}
