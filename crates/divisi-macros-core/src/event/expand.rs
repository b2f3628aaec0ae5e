//! From the model of an event to code.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use super::parse::Event;
use crate::errors::Errors;
use crate::options::{self, Derive};

/// The struct with its derives, and what makes it an event.
pub(super) fn event(event: &Event) -> TokenStream {
    let private = event.krate.private();
    let item = &event.item;
    let derives = options::derives(&private, &item.attrs, &Derive::ALL);
    let implementation = implementation(event, &private);
    quote! {
        #derives
        #item
        #implementation
    }
}

/// The struct as it stands, and what is wrong with it.
pub(super) fn with_mistakes(event: &Event, errors: Errors) -> TokenStream {
    let item = &event.item;
    let errors = errors.into_tokens();
    quote!(#errors #item)
}

fn implementation(event: &Event, private: &TokenStream) -> TokenStream {
    let (Some(topic), Some(key), Some(field)) = (&event.topic, &event.key, event.key_field()) else {
        // The checks have refused it.
        return TokenStream::new();
    };
    let (ident, version) = (&event.item.ident, event.version);
    let name = ident.to_string();
    let docs = crate::docs::text(&event.item.attrs);
    let field_name = &field.ident;
    // At the field's type, so that a key without `Display` is reported there.
    let text = quote_spanned!(field.ty.span()=> ::std::string::ToString::to_string(&self.#field_name));
    quote! {
        impl #private::contract::Event for #ident {
            const NAME: &'static str = #name;
            const TOPIC: &'static str = #topic;
            const VERSION: u32 = #version;

            fn key(&self) -> ::std::borrow::Cow<'_, str> {
                ::std::borrow::Cow::Owned(#text)
            }

            fn spec() -> #private::contract::EventSpec {
                #private::contract::EventSpec {
                    name: ::std::string::String::from(#name),
                    topic: ::std::string::String::from(#topic),
                    version: #version,
                    key: ::std::string::String::from(#key),
                    docs: ::std::string::String::from(#docs),
                    schema: #private::contract::schema::of::<Self>(),
                }
            }
        }
    }
}
