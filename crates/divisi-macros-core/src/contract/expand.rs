//! From the model of a contract to code, a function a generated item.

mod arguments;
mod client;
mod data;
mod edge;
mod server;
mod twin;

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemTrait, ReturnType, TraitItem, Type, parse_quote, parse_quote_spanned};

use super::parse::{Contract, Method};
use crate::errors::Errors;
use crate::names;

/// The trait, its client and, out of sight, what carries calls between the two.
pub(super) fn contract(contract: &Contract) -> TokenStream {
    let model = Model::new(contract);
    let item = plain_trait(contract);
    let client = client::item(&model);
    let twin = twin::item(&model);
    let hidden = [
        arguments::items(&model),
        client::methods(&model),
        client::seam(&model, data::contract(&model)),
        edge::item(&model),
        server::items(&model),
    ];
    quote! {
        #item
        #client
        #twin
        // A method that is deprecated is still carried.
        #[allow(deprecated)]
        const _: () = { #(#hidden)* };
    }
}

/// The trait as far as it goes, and what is wrong with it.
pub(super) fn with_mistakes(contract: &Contract, errors: Errors) -> TokenStream {
    let item = plain_trait(contract);
    let errors = errors.into_tokens();
    quote!(#errors #item)
}

/// A checked contract with the names of what is generated for it.
struct Model<'a> {
    contract: &'a Contract,
    private: TokenStream,
    ident: &'a Ident,
    client: Ident,
    twin: Ident,
    methods: Vec<Checked<'a>>,
}

/// A method that passed the checks.
struct Checked<'a> {
    method: &'a Method,
    ident: &'a Ident,
    /// The name of its context argument.
    cx: &'a Ident,
    names: Vec<&'a Ident>,
    types: Vec<&'a Type>,
    /// `T` of `Answer<T, R>`.
    value: &'a Type,
    /// `R` of it.
    refusal: Type,
    /// `Answer<T, R>` itself.
    answer: Type,
}

impl<'a> Model<'a> {
    fn new(contract: &'a Contract) -> Model<'a> {
        let private = contract.krate.private();
        let methods = contract.methods.iter().filter_map(|method| Checked::new(method, &private)).collect();
        let ident = &contract.item.ident;
        Model { contract, ident, client: names::client(ident), twin: names::twin(ident), private, methods }
    }
}

impl<'a> Checked<'a> {
    /// `None` only for what the checks have refused already.
    fn new(method: &'a Method, private: &TokenStream) -> Option<Checked<'a>> {
        let answer = method.answer.as_ref()?;
        let ReturnType::Type(_, ty) = &method.item.sig.output else { return None };
        let refusal = answer.refusal.clone().unwrap_or_else(|| parse_quote!(#private::contract::NoRefusal));
        Some(Checked {
            method,
            ident: method.ident(),
            cx: method.context.as_ref()?,
            names: method.arguments.iter().map(|argument| &argument.ident).collect(),
            types: method.arguments.iter().map(|argument| &argument.ty).collect(),
            value: &answer.value,
            refusal,
            answer: (**ty).clone(),
        })
    }

    /// `post: PostId, comment: NewComment`
    fn parameters(&self) -> TokenStream {
        let (names, types) = (&self.names, &self.types);
        quote!(#(#names: #types),*)
    }
}

/// The trait as a service implements it, with a plain `async fn` a method: the futures are `Send`.
fn plain_trait(contract: &Contract) -> ItemTrait {
    let mut item = contract.item.clone();
    item.colon_token.get_or_insert_with(Default::default);
    item.supertraits.push(parse_quote!(::core::marker::Send));
    item.supertraits.push(parse_quote!(::core::marker::Sync));
    item.supertraits.push(parse_quote!('static));
    let mut methods = contract.methods.iter();
    for entry in &mut item.items {
        let TraitItem::Fn(function) = entry else { continue };
        if let Some(method) = methods.next() {
            function.clone_from(&method.item);
        }
        if function.sig.asyncness.is_none() || function.default.is_some() {
            continue;
        }
        function.sig.asyncness = None;
        let output = match &function.sig.output {
            ReturnType::Default => parse_quote!(()),
            ReturnType::Type(_, ty) => (**ty).clone(),
        };
        let span = output.span();
        let future: Type = parse_quote_spanned!(span=>
            impl ::core::future::Future<Output = #output> + ::core::marker::Send
        );
        function.sig.output = syn::parse_quote!(-> #future);
    }
    item
}

/// The documentation of a client's method: the user's, or a line where there is none. Its deprecation comes along.
fn docs_of(model: &Model<'_>, method: &Checked<'_>) -> TokenStream {
    let attributes = &method.method.item.attrs;
    let deprecated = attributes.iter().filter(|attribute| attribute.path().is_ident("deprecated"));
    let docs = crate::docs::attributes(attributes);
    if docs.is_empty() {
        let text = format!(" Calls [`{0}::{1}`].", model.ident, method.ident);
        return quote_spanned!(method.ident.span()=> #[doc = #text] #(#deprecated)*);
    }
    quote!(#(#docs)* #(#deprecated)*)
}
