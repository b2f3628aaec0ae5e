//! Every name that generated code brings into the user's scope, and every name it uses inside.
//!
//! Names that people may write come first. The others start with two underscores, which no user's type does.

use proc_macro2::{Ident, Span};
use quote::format_ident;
use syn::Lifetime;
use syn::ext::IdentExt;

use crate::text::camel;

/// The client of a contract: `CommentsClient`.
pub(crate) fn client(contract: &Ident) -> Ident {
    format_ident!("{contract}Client")
}

/// The object-safe twin of a contract.
pub(crate) fn twin(contract: &Ident) -> Ident {
    format_ident!("__{contract}Local")
}

/// The struct that serves a contract.
pub(crate) fn server(contract: &Ident) -> Ident {
    format_ident!("__{contract}Server")
}

/// The arguments of a method as its caller sends them: borrowed.
pub(crate) fn sent(method: &Ident) -> Ident {
    format_ident!("__{}Sent", camel(&method.unraw().to_string()))
}

/// The arguments of a method as its callee receives them: owned.
pub(crate) fn received(method: &Ident) -> Ident {
    format_ident!("__{}Received", camel(&method.unraw().to_string()))
}

/// The constant that says which method is called.
pub(crate) fn call(method: &Ident) -> Ident {
    format_ident!("__{}", method.unraw().to_string().to_uppercase())
}

/// The type parameter for a service.
pub(crate) fn service() -> Ident {
    Ident::new("__Service", Span::call_site())
}

/// The lifetime of a local call.
pub(crate) fn lifetime() -> Lifetime {
    Lifetime::new("'__call", Span::call_site())
}

/// A local name that no name of the user can meet.
pub(crate) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
