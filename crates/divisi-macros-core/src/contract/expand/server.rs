//! The other end: a service, reached by value and by bytes.

use proc_macro2::TokenStream;
use quote::quote;

use super::{Checked, Model, arguments, twin};
use crate::contract::parse::Promise;
use crate::names;

/// `CommentsClient::serve`.
pub(super) fn serve(model: &Model<'_>) -> TokenStream {
    let Model { private, ident, client, twin, contract, .. } = model;
    let (server, service) = (names::server(ident), names::service());
    let vis = &contract.item.vis;
    let [given, answers, local] = ["service", "answers", "local"].map(names::local);
    let docs = format!(
        " Serves [`{ident}`] with `service`. What its keyed methods answer is kept in `answers`; without it a call with an \
         idempotency key is refused as a bug."
    );
    quote! {
        #[doc = #docs]
        #vis fn serve<#service: #ident>(
            #given: ::std::sync::Arc<#service>,
            #answers: ::core::option::Option<::std::sync::Arc<dyn #private::contract::KeptAnswers>>,
        ) -> #private::call::Served {
            let #given = ::std::sync::Arc::new(#server { service: #given, answers: #answers });
            let #local: ::std::sync::Arc<dyn #twin> = ::std::sync::Arc::clone(&#given) as _;
            #private::call::Served::new(
                <#client as #private::call::Client>::contract(),
                #given,
                ::std::sync::Arc::new(#local),
            )
        }
    }
}

/// The struct behind `serve`.
pub(super) fn items(model: &Model<'_>) -> TokenStream {
    let Model { private, ident, client, twin, .. } = model;
    let (server, service) = (names::server(ident), names::service());
    let [given, answers] = ["service", "answers"].map(names::local);
    let locals = model.methods.iter().map(|method| local(model, method));
    let dispatch = dispatch(model);
    quote! {
        struct #server<#service> {
            service: ::std::sync::Arc<#service>,
            // Without keyed methods nobody asks for kept answers.
            #[allow(dead_code)]
            answers: ::core::option::Option<::std::sync::Arc<dyn #private::contract::KeptAnswers>>,
        }

        impl<#service: #ident> #twin for #server<#service> {
            #(#locals)*
        }

        impl<#service: #ident> #private::call::Serves<#service> for #client {
            fn served(
                #given: ::std::sync::Arc<#service>,
                #answers: ::core::option::Option<::std::sync::Arc<dyn #private::contract::KeptAnswers>>,
            ) -> #private::call::Served {
                #client::serve(#given, #answers)
            }
        }

        #dispatch
    }
}

fn local(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let Model { private, ident: contract, .. } = model;
    let Checked { ident, cx, names, value, refusal, .. } = method;
    let signature = twin::signature(model, method);
    let service = names::service();
    let run = quote!(<#service as #contract>::#ident(&self.service, &#cx, #(#names),*).await);
    if method.method.promise() != Some(Promise::Keyed) {
        return quote!(#signature { ::std::boxed::Box::pin(async move { #run }) });
    }
    let (call, borrowed) = (names::call(ident), arguments::borrowed(method));
    let kept = names::local("kept");
    quote! {
        #signature {
            ::std::boxed::Box::pin(async move {
                match #private::call::dispatch::keyed::<#value, #refusal, _>(
                    self.answers.as_ref(),
                    #call,
                    #cx,
                    &#borrowed,
                )
                .await?
                {
                    #private::call::dispatch::Kept::Answer(#kept) => ::core::result::Result::Ok(#kept),
                    #private::call::dispatch::Kept::Run(#cx) => #run,
                }
            })
        }
    }
}

fn dispatch(model: &Model<'_>) -> TokenStream {
    let Model { private, ident, twin, .. } = model;
    let (server, service) = (names::server(ident), names::service());
    let [method, cx, bytes, error, received, work, deadline] =
        ["method", "cx", "bytes", "error", "received", "work", "deadline"].map(names::local);
    let contract = &model.contract.name;
    let arms = model.methods.iter().map(|checked| {
        let name = super::data::name(checked);
        let Checked { ident, names, value, refusal, .. } = checked;
        let struct_name = names::received(ident);
        quote! {
            #name => ::std::boxed::Box::pin(async move {
                #private::call::in_process::in_time(&#cx)?;
                let #deadline = #cx.deadline();
                let #work = ::core::pin::pin!(async move {
                    let #received: #struct_name = #private::call::dispatch::arguments(&#bytes)?;
                    #private::call::dispatch::outcome::<#value, #refusal>(
                        #twin::#ident(&*self, #cx, #(#received.#names),*).await,
                    )
                });
                #private::call::in_process::within(#deadline, #work).await
            }),
        }
    });
    quote! {
        impl<#service: #ident> #private::call::Dispatch for #server<#service> {
            fn dispatch(
                self: ::std::sync::Arc<Self>,
                #method: &str,
                #cx: #private::contract::Context,
                #bytes: #private::bytes::Bytes,
            ) -> #private::call::BoxFuture<
                'static,
                ::core::result::Result<
                    #private::bytes::Bytes,
                    #private::contract::CallError<#private::bytes::Bytes>,
                >,
            > {
                match #method {
                    #(#arms)*
                    _ => {
                        let #error = #private::call::dispatch::no_such_method(#contract, #method);
                        ::std::boxed::Box::pin(async move { ::core::result::Result::Err(#error) })
                    }
                }
            }
        }
    }
}
