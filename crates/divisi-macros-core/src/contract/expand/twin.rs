//! The object-safe twin: how a client reaches a service in its own process.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Checked, Model};
use crate::names;

/// A trait with the same methods, boxed, and a context that is already the callee's.
pub(super) fn item(model: &Model<'_>) -> TokenStream {
    let twin = &model.twin;
    let signatures = model.methods.iter().map(|method| signature(model, method));
    quote! {
        #[allow(clippy::too_many_arguments)]
        trait #twin: ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#signatures;)*
        }
    }
}

/// `fn add<'a>(&'a self, cx: Context, …) -> BoxFuture<'a, Answer<…>>`
pub(super) fn signature(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let private = &model.private;
    let Checked { ident, cx, answer, .. } = method;
    let parameters = method.parameters();
    let lifetime = names::lifetime();
    quote! {
        fn #ident<#lifetime>(
            &#lifetime self,
            #cx: #private::contract::Context,
            #parameters
        ) -> #private::call::BoxFuture<#lifetime, #answer>
    }
}
