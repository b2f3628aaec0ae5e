//! The client: the one item that people name.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Type, TypeReference};

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

/// Not an `async fn`: the arguments move once, into the callee's future.
fn method(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let Model { private, contract, twin, .. } = model;
    let Checked { ident, cx, names, value, refusal, .. } = method;
    let vis = &contract.item.vis;
    let docs = docs_of(model, method);
    let parameters = method.parameters();
    let (lifetime, context) = (names::lifetime(), context_type(method));
    let borrowed = arguments::borrowed(method);
    let (call, received) = (names::call(ident), names::received(ident));
    let [callee, held, derived, error] = ["callee", "held", "derived", "error"].map(names::local);
    let calling = quote!(#private::call::Calling);
    quote! {
        #docs
        #[allow(clippy::too_many_arguments)]
        #vis fn #ident<#lifetime>(
            &#lifetime self,
            #cx: #context,
            #parameters
        ) -> #calling<#lifetime, #value, #refusal> {
            match self.link.way::<#refusal>(#cx) {
                ::core::result::Result::Ok(#private::call::client::Way::Local(#callee, #held)) => {
                    if let ::core::result::Result::Err(#error) =
                        #private::call::in_process::could_travel::<_, #received, #refusal>(&#borrowed)
                    {
                        return #calling::not_run(#error);
                    }
                    let #derived = self.link.context(#call, #cx);
                    #calling::local(
                        #held,
                        #derived.deadline(),
                        #twin::#ident(&**#callee, #derived, #(#names),*),
                    )
                }
                ::core::result::Result::Ok(#private::call::client::Way::Remote(#callee, #held)) => {
                    self.link.remote::<_, #value, #refusal>(#callee, #held, #call, #cx, &#borrowed)
                }
                ::core::result::Result::Err(#error) => #calling::not_run(#error),
            }
        }
    }
}

/// `&Context`, as the user wrote it, for as long as the call takes.
fn context_type(method: &Checked<'_>) -> TokenStream {
    let typed = method.method.item.sig.inputs.iter().find_map(|input| match input {
        syn::FnArg::Typed(typed) => Some(&*typed.ty),
        syn::FnArg::Receiver(_) => None,
    });
    match typed {
        Some(Type::Reference(context)) => {
            let context = TypeReference { lifetime: Some(names::lifetime()), ..context.clone() };
            quote!(#context)
        }
        // What is no reference was refused by the checks.
        other => quote!(#other),
    }
}
