//! From the model of a refusal to code, a function a generated item.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Fields, LitStr};

use super::message;
use super::parse::{Reason, Refusal, Says, is_invalid};
use crate::errors::Errors;
use crate::names;
use crate::options::{self, Derive};
use crate::text::kebab;

/// The enum with its derives, and what makes it a refusal.
pub(super) fn refusal(refusal: &Refusal) -> TokenStream {
    let private = refusal.krate.private();
    let item = &refusal.item;
    let derives = options::derives(&private, &item.attrs, &Derive::ALL);
    let (display, implementation) = (display(refusal), implementation(refusal, &private));
    let conversions = refusal.reasons.iter().map(|reason| conversion(refusal, reason));
    quote! {
        #derives
        #item
        #display
        #implementation
        #(#conversions)*
    }
}

/// The enum as it stands, and what is wrong with it.
pub(super) fn with_mistakes(refusal: &Refusal, errors: Errors) -> TokenStream {
    let item = &refusal.item;
    let errors = errors.into_tokens();
    quote!(#errors #item)
}

fn display(refusal: &Refusal) -> TokenStream {
    let ident = &refusal.item.ident;
    let formatter = names::local("formatter");
    let arms = each(refusal, |reason, says| {
        let name = &reason.variant.ident;
        let pattern = pattern(reason, says);
        let text = LitStr::new(&message::with_names(&says.message.value()), says.message.span());
        quote!(Self::#name #pattern => ::core::write!(#formatter, #text),)
    });
    quote! {
        impl ::core::fmt::Display for #ident {
            fn fmt(&self, #formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self { #arms }
            }
        }

        impl ::core::error::Error for #ident {}
    }
}

/// The fields that the message names, bound.
fn pattern(reason: &Reason, says: &Says) -> TokenStream {
    let named = message::fields(&says.message.value());
    let bindings = reason.variant.fields.iter().enumerate().filter_map(|(n, field)| match &field.ident {
        Some(ident) => named.contains(&ident.to_string()).then(|| quote!(#ident)),
        None => {
            let position = syn::Index::from(n);
            let ident = format_ident!("_{n}", span = says.message.span());
            named.contains(&n.to_string()).then(|| quote!(#position: #ident))
        }
    });
    quote!({ #(#bindings,)* .. })
}

fn implementation(refusal: &Refusal, private: &TokenStream) -> TokenStream {
    let ident = &refusal.item.ident;
    let specs = each(refusal, |reason, says| {
        let (code, status, message) = (code(reason), &says.status, &says.message);
        quote! {
            #private::contract::RefusalSpec {
                code: ::std::string::String::from(#code),
                status: #status,
                message: ::std::string::String::from(#message),
            },
        }
    });
    let codes = each(refusal, |reason, _| {
        let (name, code) = (&reason.variant.ident, code(reason));
        quote!(Self::#name { .. } => #code,)
    });
    let statuses = each(refusal, |reason, says| {
        let (name, status) = (&reason.variant.ident, &says.status);
        quote!(Self::#name { .. } => #status,)
    });
    let errors = errors(refusal, private);
    quote! {
        impl #private::contract::Refusal for #ident {
            fn specs() -> ::std::vec::Vec<#private::contract::RefusalSpec> {
                ::std::vec![#specs]
            }

            fn code(&self) -> &'static str {
                match self { #codes }
            }

            fn status(&self) -> u16 {
                match self { #statuses }
            }

            #errors
        }
    }
}

/// The rules that failed, of those variants that hold an `Invalid`.
fn errors(refusal: &Refusal, private: &TokenStream) -> Option<TokenStream> {
    let holders: Vec<_> = refusal
        .reasons
        .iter()
        .filter(|reason| reason.from.as_ref().is_some_and(|(_, ty)| is_invalid(ty)))
        .map(|reason| &reason.variant.ident)
        .collect();
    if holders.is_empty() {
        return None;
    }
    let invalid = names::local("invalid");
    let rest = (holders.len() < refusal.reasons.len()).then(|| quote!(_ => &[],));
    Some(quote! {
        fn errors(&self) -> &[#private::contract::FieldError] {
            match self {
                #(Self::#holders(#invalid) => &#invalid.errors,)*
                #rest
            }
        }
    })
}

fn conversion(refusal: &Refusal, reason: &Reason) -> Option<TokenStream> {
    let (_, ty) = reason.from.as_ref().filter(|_| matches!(reason.variant.fields, Fields::Unnamed(_)))?;
    let (ident, name) = (&refusal.item.ident, &reason.variant.ident);
    let inner = names::local("inner");
    Some(quote! {
        impl ::core::convert::From<#ty> for #ident {
            fn from(#inner: #ty) -> Self {
                Self::#name(#inner)
            }
        }
    })
}

/// What `write` makes of each variant and what it says.
fn each(refusal: &Refusal, write: impl Fn(&Reason, &Says) -> TokenStream) -> TokenStream {
    refusal.reasons.iter().filter_map(|reason| Some(write(reason, reason.says.first()?))).collect()
}

/// The stable code: the variant's name in kebab-case.
fn code(reason: &Reason) -> String {
    kebab(&reason.variant.ident.to_string())
}
