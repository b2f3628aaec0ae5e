//! The client as the gateway sees it: text in, JSON out.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;

use super::{Checked, Model};
use crate::contract::parse::{Segment, segments};
use crate::names;

/// `impl Edge for CommentsClient`.
pub(super) fn item(model: &Model<'_>) -> TokenStream {
    let Model { private, client, .. } = model;
    let [method, cx, request] = ["method", "cx", "request"].map(names::local);
    let arms = model.methods.iter().enumerate().filter_map(|(n, checked)| arm(model, n, checked));
    let lifetime = names::lifetime();
    let contract = &model.contract.name;
    quote! {
        impl #private::call::Edge for #client {
            fn contract(&self) -> &'static #private::contract::Contract {
                <Self as #private::call::Client>::contract()
            }

            fn call<#lifetime>(
                &#lifetime self,
                #method: usize,
                #cx: &#lifetime #private::contract::Context,
                #request: #private::call::EdgeRequest<#lifetime>,
            ) -> #private::call::BoxFuture<
                #lifetime,
                ::core::result::Result<::std::vec::Vec<u8>, #private::call::EdgeError>,
            > {
                match #method {
                    #(#arms)*
                    _ => ::std::boxed::Box::pin(::core::future::ready(::core::result::Result::Err(
                        #private::call::edge::no_such_route(#contract),
                    ))),
                }
            }
        }
    }
}

/// A method that has a route.
fn arm(model: &Model<'_>, n: usize, checked: &Checked<'_>) -> Option<TokenStream> {
    let (private, client) = (&model.private, &model.client);
    let route = checked.method.routes.first()?;
    let path = route.path.value();
    let in_path: HashSet<&str> = segments(&path)
        .filter_map(|segment| match segment {
            Segment::Argument(name) => Some(name),
            Segment::Text(_) => None,
        })
        .collect();
    let [cx, request, parts] = ["cx", "request", "parts"].map(names::local);
    let Checked { ident, names, types, value, refusal, .. } = checked;
    let decoded = names.iter().zip(types).map(|(ident, ty)| {
        let name = ident.unraw().to_string();
        let decode = if in_path.contains(name.as_str()) {
            quote!(path::<#ty>(#name))
        } else if route.verb.has_body() {
            quote!(body::<#ty>())
        } else {
            quote!(query::<#ty>(#name))
        };
        quote!(let #ident = #parts.#decode;)
    });
    let run = quote!(#private::call::edge::answer::<#value, #refusal>(#client::#ident(self, #cx, #(#names),*).await));
    let body = if names.is_empty() {
        quote! {
            let _ = #request;
            #run
        }
    } else {
        quote! {
            let mut #parts = #private::call::edge::Parts::new(#request);
            #(#decoded)*
            match (#(#names,)*) {
                (#(::core::option::Option::Some(#names),)*) => #run,
                _ => ::core::result::Result::Err(#parts.into_error()),
            }
        }
    };
    Some(quote!(#n => ::std::boxed::Box::pin(async move { #body }),))
}
