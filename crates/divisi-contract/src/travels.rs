//! What may go from one process to another.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value that may be an argument or an answer of a contract. Nobody implements it: `#[data]` on a struct or an enum
/// gives everything that it needs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel from one process to another",
    label = "arguments and answers of a contract may come over the network",
    note = "put `#[divisi::data]` on the struct or enum"
)]
pub trait Travels: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {}

// Otherwise the compiler names the first of its bounds, and not the one line that brings them all.
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static> Travels for T {}

/// Fails to compile, with a sentence that helps, for a type that does not travel. Used by `#[contract]`.
#[doc(hidden)]
pub const fn travels<T: Travels>() {}
