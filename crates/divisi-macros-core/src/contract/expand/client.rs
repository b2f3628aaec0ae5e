//! The client: the one item that people name.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Checked, Model, arguments, docs_of};
use crate::names;

/// `CommentsClient`.
pub(super) fn item(model: &Model<'_>) -> TokenStream {
    let Model { private, ident, client, twin, contract, .. } = model;
    let vis = &contract.item.vis;
    let docs = format!(
        " Calls [`{ident}`], wherever it runs. Cheap to clone.\n\n A method costs a function call when the service is \
         in this process, and a round trip when it is not. It waits no longer than the deadline of its context."
    );
    quote! {
        #[doc = #docs]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #vis struct #client {
            link: #private::call::Link<dyn #twin>,
        }
    }
}

/// Its methods, one a method of the contract, and `serve`.
pub(super) fn methods(model: &Model<'_>) -> TokenStream {
    let client = &model.client;
    let methods = model.methods.iter().map(|checked| method(model, checked));
    let serve = super::server::serve(model);
    quote! {
        impl #client {
            #(#methods)*
            #serve
        }
    }
}

/// The client as the framework sees it.
pub(super) fn seam(model: &Model<'_>, contract: TokenStream) -> TokenStream {
    let Model { private, client, .. } = model;
    let name = &model.contract.name;
    let (caller, route) = (names::local("caller"), names::local("route"));
    quote! {
        impl #private::call::Client for #client {
            #contract

            fn over(
                #caller: #private::contract::ServiceName,
                #route: ::std::sync::Arc<#private::call::Route>,
            ) -> Self {
                #client { link: #private::call::Link::new(#caller, #name, #route) }
            }
        }
    }
}

fn method(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let Model { private, contract, twin, .. } = model;
    let Checked { ident, cx, names, value, refusal, answer, .. } = method;
    let vis = &contract.item.vis;
    let docs = docs_of(model, method);
    let parameters = method.parameters();
    let context = context_type(method);
    let borrowed = arguments::borrowed(method);
    let (call, received) = (names::call(ident), names::received(ident));
    let [callee, held, derived, outcome] = ["callee", "held", "derived", "outcome"].map(names::local);
    let error = quote!(#private::contract::CallError<#refusal>);
    quote! {
        #docs
        #[allow(clippy::too_many_arguments)]
        #vis async fn #ident(&self, #cx: #context, #parameters) -> #answer {
            match self.link.way::<#refusal>(#cx)? {
                #private::call::client::Way::Local(#callee, #held) => {
                    #private::call::in_process::could_travel::<_, #received, #refusal>(&#borrowed)?;
                    let #derived = self.link.context(#call, #cx);
                    let #outcome: ::core::result::Result<#value, #error> = #private::call::in_process::within(
                        #derived.deadline(),
                        #twin::#ident(&**#callee, #derived, #(#names),*),
                    )
                    .await;
                    ::core::mem::drop(#held);
                    #private::call::in_process::answer_could_travel::<#value, #refusal>(#outcome)
                }
                #private::call::client::Way::Remote(#callee, #held) => {
                    // In a box, so that a call in this process does not carry the room for it along.
                    let #outcome: ::core::result::Result<#value, #error> = ::std::boxed::Box::pin(
                        self.link.remote::<_, #value, #refusal>(#callee, #call, #cx, &#borrowed),
                    )
                    .await;
                    ::core::mem::drop(#held);
                    #outcome
                }
            }
        }
    }
}

/// `&Context`, as the user wrote it.
fn context_type(method: &Checked<'_>) -> TokenStream {
    let typed = method.method.item.sig.inputs.iter().find_map(|input| match input {
        syn::FnArg::Typed(typed) => Some(&typed.ty),
        syn::FnArg::Receiver(_) => None,
    });
    quote!(#typed)
}
