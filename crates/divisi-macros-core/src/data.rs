//! `#[data]`: a plain value of a contract, in one line.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Item, ItemEnum, ItemStruct};

use crate::errors::Errors;
use crate::options::{self, Crate, Derive};

/// Expands `#[data(options)]` on `item`.
pub fn data(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut krate = Crate::default();
    options::read(options, "`crate = path`", &mut errors, |meta, _| {
        if meta.path.is_ident("crate") { krate.read(meta).map(|()| true) } else { Ok(false) }
    });
    let attributes = match syn::parse2::<Item>(item.clone()) {
        Ok(Item::Struct(ItemStruct { attrs, .. }) | Item::Enum(ItemEnum { attrs, .. })) => attrs,
        // What is wrong inside of it is the compiler's to say.
        Err(_) => return item,
        Ok(_) => {
            errors.push(&item, "a value of a contract is a struct or an enum");
            let errors = errors.into_tokens();
            return quote!(#errors #item);
        }
    };
    let derives = options::derives(&krate.private(), &attributes, &Derive::ALL);
    let errors = errors.into_tokens();
    quote!(#errors #derives #item)
}

#[cfg(test)]
mod tests;
