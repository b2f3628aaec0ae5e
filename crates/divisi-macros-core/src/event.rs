//! `#[event]`: a struct becomes a fact that a service announces.

mod check;
mod expand;
mod parse;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Item};

use crate::errors::Errors;

/// Expands `#[event(options)]` on `item`.
pub fn event(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Ok(input) = syn::parse2::<DeriveInput>(item.clone()) else {
        if let Ok(other) = syn::parse2::<Item>(item.clone()) {
            errors.push(other, "an event is a struct with named fields: what happened, in the past tense");
        }
        // What is wrong inside of it is otherwise the compiler's to say.
        let errors = errors.into_tokens();
        return quote!(#errors #item);
    };
    let event = parse::event(options, input, &mut errors);
    check::event(&event, &mut errors);
    if errors.is_empty() { expand::event(&event) } else { expand::with_mistakes(&event, errors) }
}

#[cfg(test)]
mod tests;
