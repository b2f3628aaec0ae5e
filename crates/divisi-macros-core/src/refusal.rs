//! `#[refusal]`: an enum becomes a typed "no".

mod check;
mod expand;
mod message;
mod parse;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Item, ItemEnum};

use crate::errors::Errors;

/// Expands `#[refusal(options)]` on `item`.
pub fn refusal(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Ok(input) = syn::parse2::<ItemEnum>(item.clone()) else {
        if let Ok(other) = syn::parse2::<Item>(item.clone()) {
            errors.push(other, "a refusal is an enum: one variant a reason to say no");
        }
        // What is wrong inside of it is otherwise the compiler's to say.
        let errors = errors.into_tokens();
        return quote!(#errors #item);
    };
    let refusal = parse::refusal(options, input, &mut errors);
    check::refusal(&refusal, &mut errors);
    if errors.is_empty() { expand::refusal(&refusal) } else { expand::with_mistakes(&refusal, errors) }
}

#[cfg(test)]
mod tests;
