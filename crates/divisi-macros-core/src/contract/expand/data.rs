//! The contract as data.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;

use super::{Checked, Model, arguments};
use crate::contract::parse::Route;

/// `fn contract()` of the client: made once, when it is first asked for.
pub(super) fn contract(model: &Model<'_>) -> TokenStream {
    let private = &model.private;
    let (name, version) = (&model.contract.name, model.contract.version);
    let docs = crate::docs::text(&model.contract.item.attrs);
    let methods = model.methods.iter().map(|checked| method(model, checked));
    quote! {
        fn contract() -> &'static #private::contract::Contract {
            static CONTRACT: ::std::sync::LazyLock<#private::contract::Contract> =
                ::std::sync::LazyLock::new(|| #private::contract::Contract {
                    name: ::std::string::String::from(#name),
                    version: #version,
                    docs: ::std::string::String::from(#docs),
                    methods: ::std::vec![#(#methods),*],
                });
            &CONTRACT
        }
    }
}

/// A method's name on the wire.
pub(super) fn name(method: &Checked<'_>) -> String {
    method.ident.unraw().to_string()
}

fn method(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let private = &model.private;
    let Checked { names, types, value, refusal, .. } = method;
    let names = names.iter().map(|name| name.unraw().to_string());
    let (name, docs) = (name(method), crate::docs::text(&method.method.item.attrs));
    let repeat = arguments::repeat(model, method);
    let routes = method.method.routes.iter().map(|entry| route(private, entry));
    quote! {
        #private::contract::Method {
            name: ::std::string::String::from(#name),
            docs: ::std::string::String::from(#docs),
            repeat: #repeat,
            routes: ::std::vec![#(#routes),*],
            arguments: ::std::vec![#(#private::contract::Argument {
                name: ::std::string::String::from(#names),
                schema: #private::contract::schema::of::<#types>(),
            }),*],
            answer: #private::contract::schema::of::<#value>(),
            refusals: <#refusal as #private::contract::Refusal>::specs(),
        }
    }
}

fn route(private: &TokenStream, route: &Route) -> TokenStream {
    let verb = format_ident!("{}", route.verb.name());
    let path = &route.path;
    let status = route.status.as_ref().map_or(quote!(200), |status| {
        let digits = status.base10_digits().parse::<u16>().unwrap_or(200);
        quote!(#digits)
    });
    quote! {
        #private::contract::Route {
            verb: #private::contract::Verb::#verb,
            path: ::std::string::String::from(#path),
            status: #status,
        }
    }
}
