//! The arguments of a method as they travel.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Checked, Model};
use crate::contract::parse::Promise;
use crate::names;

/// For each method: its arguments borrowed and owned, and the constant that names the call.
pub(super) fn items(model: &Model<'_>) -> TokenStream {
    let items = model.methods.iter().map(|method| {
        let (sent, received, call) = (sent(model, method), received(model, method), call(model, method));
        let travels = travels(model, method);
        quote!(#travels #sent #received #call)
    });
    quote!(#(#items)*)
}

/// The arguments, borrowed, in an expression.
pub(super) fn borrowed(method: &Checked<'_>) -> TokenStream {
    let (sent, names) = (names::sent(method.ident), &method.names);
    quote!(#sent { #(#names: &#names),* })
}

/// A sentence that helps, should a type not be fit for the network.
fn travels(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let private = &model.private;
    let types = method.types.iter().copied().chain([method.value]);
    quote!(#(const _: () = #private::contract::travels::travels::<#types>();)*)
}

fn sent(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let private = &model.private;
    let serde = quote!(#private::serde).to_string();
    let (sent, names, types) = (names::sent(method.ident), &method.names, &method.types);
    let lifetime = (!names.is_empty()).then(|| {
        let lifetime = names::lifetime();
        quote!(<#lifetime>)
    });
    let borrow = (!names.is_empty()).then(names::lifetime);
    quote! {
        #[derive(#private::serde::Serialize)]
        #[serde(crate = #serde)]
        struct #sent #lifetime { #(#names: &#borrow #types),* }
    }
}

fn received(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let private = &model.private;
    let serde = quote!(#private::serde).to_string();
    let (received, names, types) = (names::received(method.ident), &method.names, &method.types);
    quote! {
        #[derive(#private::serde::Deserialize)]
        #[serde(crate = #serde)]
        struct #received { #(#names: #types),* }
    }
}

fn call(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let private = &model.private;
    let call = names::call(method.ident);
    let (contract, version) = (&model.contract.name, model.contract.version);
    let name = super::data::name(method);
    let repeat = repeat(model, method);
    quote! {
        const #call: &#private::call::Call = &#private::call::Call {
            contract: #contract,
            version: #version,
            method: #name,
            repeat: #repeat,
        };
    }
}

/// `Repeat::Keyed` and its like.
pub(super) fn repeat(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let private = &model.private;
    match method.method.promise() {
        None => quote!(#private::contract::Repeat::Once),
        Some(Promise::Idempotent) => quote!(#private::contract::Repeat::Idempotent),
        Some(Promise::Keyed) => quote!(#private::contract::Repeat::Keyed),
    }
}
