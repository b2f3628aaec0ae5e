//! A typed "no" that is part of a contract.

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A typed "no": part of the contract, never an infrastructure error. Made by `#[refusal]` on an enum:
///
/// `#[refuse(404, "no post has this id")]` on each variant gives the HTTP status, the message and, from the
/// variant's name in kebab-case, the stable code.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a refusal",
    label = "a contract method says no with an enum that has `#[divisi::refusal]`",
    note = "put `#[divisi::refusal]` on the enum, and `#[refuse(404, \"no post has this id\")]` on each variant"
)]
pub trait Refusal:
    fmt::Display + fmt::Debug + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static
{
    /// Every refusal of this type, as data.
    fn specs() -> Vec<RefusalSpec>;
    /// The code of this one: stable, in kebab-case, for programs.
    fn code(&self) -> &'static str;
    /// The HTTP status of this one.
    fn status(&self) -> u16;
    /// The rules that failed, when it is about input; empty otherwise.
    fn errors(&self) -> &[FieldError] {
        &[]
    }
}

/// One variant of a refusal, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalSpec {
    /// The stable code, in kebab-case.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// What it means, for people.
    pub message: String,
}

/// A rule that a piece of input broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// What is wrong and what would be right.
    pub message: String,
    /// Which field; absent when the rule spans several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Input that broke one rule or more: all of them at once.
///
/// ```
/// use divisi_contract::Invalid;
///
/// let title = "";
/// let checked = Invalid::none()
///     .unless(!title.is_empty(), "title", "must not be empty")
///     .unless(title.len() <= 200, "title", "must have at most 200 characters")
///     .done();
/// assert_eq!(checked.unwrap_err().errors.len(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invalid {
    /// Every rule that was broken.
    pub errors: Vec<FieldError>,
}

/// For a method that never refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NoRefusal {}

impl FieldError {
    /// A broken rule about one field.
    pub fn of(field: impl Into<String>, message: impl Into<String>) -> FieldError {
        FieldError { message: message.into(), field: Some(field.into()) }
    }
}

impl Invalid {
    /// No rule broken yet.
    pub fn none() -> Invalid {
        Invalid::default()
    }

    /// Notes `message` about `field` unless `holds`.
    #[must_use]
    pub fn unless(mut self, holds: bool, field: &str, message: impl Into<String>) -> Invalid {
        if !holds {
            self.errors.push(FieldError::of(field, message));
        }
        self
    }

    /// The end of the checks: an error if any rule was broken.
    pub fn done(self) -> Result<(), Invalid> {
        if self.errors.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            match &error.field {
                Some(field) => write!(f, "`{field}` {}", error.message)?,
                None => f.write_str(&error.message)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for NoRefusal {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Refusal for NoRefusal {
    fn specs() -> Vec<RefusalSpec> {
        Vec::new()
    }
    fn code(&self) -> &'static str {
        match *self {}
    }
    fn status(&self) -> u16 {
        match *self {}
    }
}
