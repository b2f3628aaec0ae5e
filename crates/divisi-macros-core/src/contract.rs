//! `#[contract]`: a trait becomes a promise.

mod check;
mod expand;
mod parse;

use proc_macro2::TokenStream;
use syn::ItemTrait;

use crate::errors::Errors;

/// Expands `#[contract(options)]` on `item`.
pub fn contract(options: TokenStream, item: TokenStream) -> TokenStream {
    let item: ItemTrait = match syn::parse2(item.clone()) {
        Ok(item) => item,
        Err(_) => return not_a_trait(item),
    };
    let mut errors = Errors::default();
    let contract = parse::contract(options, item, &mut errors);
    check::contract(&contract, &mut errors);
    if errors.is_empty() { expand::contract(&contract) } else { expand::with_mistakes(&contract, errors) }
}

fn not_a_trait(item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    match syn::parse2::<syn::Item>(item.clone()) {
        Ok(syn::Item::Trait(_)) | Err(_) => {
            // What is wrong inside of it is the compiler's to say.
            return item;
        }
        Ok(_) => errors.push(&item, "a contract is a trait: the methods that a service promises"),
    }
    let errors = errors.into_tokens();
    quote::quote!(#errors #item)
}

#[cfg(test)]
mod tests;
