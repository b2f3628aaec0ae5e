//! A call from text: how the gateway reaches a contract without knowing its types.

use divisi_contract::{CallError, Cause, Context, Contract, FieldError, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::BoxFuture;

/// Calls a method of a contract from text. Implemented by every generated client.
pub trait Edge: Send + Sync + 'static {
    /// The contract, whose routes say which method stands where.
    fn contract(&self) -> &'static Contract;
    /// Calls the method with this index in [`Contract::methods`]; the answer is JSON.
    fn call<'a>(
        &'a self,
        method: usize,
        cx: &'a Context,
        request: EdgeRequest<'a>,
    ) -> BoxFuture<'a, Result<Vec<u8>, EdgeError>>;
}

/// A request as text, not yet decoded.
#[derive(Debug, Clone, Copy)]
pub struct EdgeRequest<'a> {
    /// Arguments from the path, by name, percent-decoded.
    pub path: &'a [(&'a str, String)],
    /// Arguments from the query, by name, percent-decoded.
    pub query: &'a [(String, String)],
    /// The JSON body; empty when there is none.
    pub body: &'a [u8],
}

/// Why a request brought no answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum EdgeError {
    /// The path, the query or the body is not what the contract says; nothing ran.
    BadRequest {
        /// 400 for what cannot be read, 422 for what can be read and breaks a rule.
        status: u16,
        /// Everything that is wrong.
        errors: Vec<FieldError>,
    },
    /// The contract's own "no".
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: &'static str,
        /// The sentence for people.
        message: String,
        /// The rules that failed, if it is about input.
        errors: Vec<FieldError>,
    },
    /// It did not run.
    NotRun(Cause),
    /// It may have run.
    MayHaveRun(Cause),
}

/// Decodes the parts of a request and collects everything that is wrong with them.
#[derive(Debug)]
pub struct Parts<'a> {
    request: EdgeRequest<'a>,
    status: u16,
    errors: Vec<FieldError>,
}

impl<'a> Parts<'a> {
    /// Nothing decoded yet.
    pub fn new(request: EdgeRequest<'a>) -> Parts<'a> {
        Parts { request, status: 422, errors: Vec::new() }
    }

    /// The argument `name` from the path.
    pub fn path<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let text = self.request.path.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        self.text(name, text)
    }

    /// The argument `name` from the query; one that is missing is `None` where the type allows it.
    pub fn query<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let text = self.request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        self.text(name, text)
    }

    /// The argument that is the body.
    pub fn body<T: DeserializeOwned>(&mut self) -> Option<T> {
        match serde_json::from_slice(self.request.body) {
            Ok(value) => Some(value),
            Err(error) if error.is_data() => {
                self.errors.push(rule(&error.to_string()));
                None
            }
            Err(error) => {
                self.status = 400;
                let message = if self.request.body.is_empty() {
                    "the request needs a JSON body".to_owned()
                } else {
                    format!("the body is not JSON: {error}")
                };
                self.errors.push(FieldError { message, field: None });
                None
            }
        }
    }

    /// The error that names everything that is wrong.
    pub fn into_error(self) -> EdgeError {
        EdgeError::BadRequest { status: self.status, errors: self.errors }
    }

    fn text<T: DeserializeOwned>(&mut self, name: &str, text: Option<&str>) -> Option<T> {
        let decoded = match text {
            None => serde_json::from_value(Value::Null).map_err(|_| "is missing".to_owned()),
            Some(text) => from_text(text),
        };
        decoded
            .map_err(|message| {
                self.status = 400;
                self.errors.push(FieldError::of(name, message));
            })
            .ok()
    }
}

/// What a call brought, for the gateway.
pub fn answer<T: Serialize, R: Refusal>(answer: Result<T, CallError<R>>) -> Result<Vec<u8>, EdgeError> {
    match answer {
        Ok(value) => serde_json::to_vec(&value).map_err(|error| {
            let message = format!("the answer cannot be written as JSON: {error}");
            EdgeError::MayHaveRun(Cause::new(divisi_contract::CauseKind::Bug, message))
        }),
        Err(CallError::Refused(refusal)) => Err(EdgeError::Refused {
            status: refusal.status(),
            code: refusal.code(),
            message: refusal.to_string(),
            errors: refusal.errors().to_vec(),
        }),
        Err(CallError::NotRun(cause)) => Err(EdgeError::NotRun(cause)),
        Err(CallError::MayHaveRun(cause)) => Err(EdgeError::MayHaveRun(cause)),
    }
}

/// The error for a method that has no route.
pub fn no_such_route(contract: &str) -> EdgeError {
    let message = format!("contract `{contract}` has no route to this method");
    EdgeError::NotRun(Cause::new(divisi_contract::CauseKind::NoSuchMethod, message))
}

/// A value from a piece of a URL: as text, or else as the number or truth value that it spells.
fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let as_text = serde_json::from_value(Value::String(text.to_owned()));
    let first = match as_text {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => {
            serde_json::from_value(value).map_err(|error| format!("is not valid: {error}"))
        }
        _ => Err(format!("is not valid: {first}")),
    }
}

/// Serde's sentence about a field, without the position in the text that nobody counts.
fn rule(sentence: &str) -> FieldError {
    let sentence = sentence.split(" at line ").next().unwrap_or(sentence);
    for (start, message) in [("missing field `", "is missing"), ("unknown field `", "is not known")] {
        if let Some(field) = sentence.strip_prefix(start).and_then(|rest| rest.split('`').next()) {
            return FieldError::of(field, message);
        }
    }
    FieldError { message: sentence.to_owned(), field: None }
}
