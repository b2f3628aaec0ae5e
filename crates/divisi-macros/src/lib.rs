//! The entry points of divisi's macros.
//!
//! Nothing is decided here: a crate of macros cannot be tested, so all of it is in `divisi-macros-core`. The
//! documentation of each macro is on its re-export in `divisi`.

use proc_macro::TokenStream;

/// A trait becomes a contract; see `divisi::contract`.
#[proc_macro_attribute]
pub fn contract(options: TokenStream, item: TokenStream) -> TokenStream {
    divisi_macros_core::contract::contract(options.into(), item.into()).into()
}

/// A struct becomes an event; see `divisi::event`.
#[proc_macro_attribute]
pub fn event(options: TokenStream, item: TokenStream) -> TokenStream {
    divisi_macros_core::event::event(options.into(), item.into()).into()
}

/// An enum becomes a refusal; see `divisi::refusal`.
#[proc_macro_attribute]
pub fn refusal(options: TokenStream, item: TokenStream) -> TokenStream {
    divisi_macros_core::refusal::refusal(options.into(), item.into()).into()
}

/// A struct or an enum becomes a value of a contract; see `divisi::data`.
#[proc_macro_attribute]
pub fn data(options: TokenStream, item: TokenStream) -> TokenStream {
    divisi_macros_core::data::data(options.into(), item.into()).into()
}
