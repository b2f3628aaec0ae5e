//! The rules of a contract, a function each.

mod arguments;
mod routes;

use std::collections::HashMap;

use syn::ext::IdentExt;
use syn::{ReceiverKind, ReturnType, TraitItem};

use super::parse::{Contract, Method, Promise, Verb, is_context};
use crate::errors::Errors;

/// Notes everything that is wrong with `contract`.
pub(super) fn contract(contract: &Contract, errors: &mut Errors) {
    is_one_promise(contract, errors);
    has_only_methods(contract, errors);
    names_differ(contract, errors);
    for method in &contract.methods {
        is_async(method, errors);
        is_for_everybody(method, errors);
        takes_self(method, errors);
        takes_context(method, errors);
        arguments::are_owned(method, errors);
        answers(method, errors);
        has_no_body(method, errors);
        is_in_every_build(method, errors);
        promises_one_thing(method, errors);
        routes::of_method(method, errors);
    }
    routes::differ(contract, errors);
}

fn is_one_promise(contract: &Contract, errors: &mut Errors) {
    let item = &contract.item;
    if let Some(unsafety) = &item.unsafety {
        errors.push(
            unsafety,
            "a contract is not `unsafe`: a peer on the network cannot keep a promise about memory",
        );
    }
    if !item.generics.params.is_empty() || item.generics.where_clause.is_some() {
        errors.push(&item.generics, "a contract has no generics: the other side must know every type");
    }
}

fn has_only_methods(contract: &Contract, errors: &mut Errors) {
    for item in &contract.item.items {
        if !matches!(item, TraitItem::Fn(_)) {
            errors.push(item, "a contract has methods only: this cannot be asked for over the network");
        }
    }
}

fn names_differ(contract: &Contract, errors: &mut Errors) {
    // By what is the same for two that differ in case or underscores alone, as the names that are made of them do.
    let mut seen: HashMap<String, &syn::Ident> = HashMap::new();
    for method in &contract.methods {
        let ident = method.ident();
        let alike = ident.unraw().to_string().replace('_', "").to_lowercase();
        match seen.get(&alike) {
            Some(other) if other.unraw() == ident.unraw() => errors.push(
                ident,
                format!("two methods are called `{ident}`: callers choose a method by its name"),
            ),
            Some(other) => errors.push(
                ident,
                format!(
                    "`{ident}` and `{other}` differ in underscores or case alone, so that what is made of them would \
                     have one name: call one of them something else"
                ),
            ),
            None => {
                seen.insert(alike, ident);
            }
        }
        if ident == "serve" {
            errors.push(
                ident,
                "`serve` is how a service is handed to its client; call this method something else",
            );
        }
    }
}

fn is_async(method: &Method, errors: &mut Errors) {
    if method.item.sig.asyncness.is_none() {
        errors.push(
            method.item.sig.fn_token,
            "a contract method is `async`: its answer may come over the network",
        );
    }
}

fn is_for_everybody(method: &Method, errors: &mut Errors) {
    let generics = &method.item.sig.generics;
    if !generics.params.is_empty() || generics.where_clause.is_some() {
        errors.push(generics, "a contract method has no generics: the other side must know every type");
    }
}

fn takes_self(method: &Method, errors: &mut Errors) {
    let signature = &method.item.sig;
    match signature.receiver() {
        Some(receiver) if matches!(receiver.kind, ReceiverKind::Reference(_, _, None)) => {}
        Some(receiver) => {
            errors.push(receiver, "a contract method takes `&self`: many calls run at the same time");
        }
        None => errors.push(
            &signature.ident,
            format!(
                "a contract method takes `&self` first: `async fn {}(&self, cx: &Context, …)`",
                signature.ident
            ),
        ),
    }
}

fn takes_context(method: &Method, errors: &mut Errors) {
    let elsewhere = method.arguments.iter().any(|argument| is_context(&argument.ty));
    if method.context.is_none() && !elsewhere {
        errors.push(
            &method.item.sig.ident,
            "a contract method takes `cx: &Context` after `&self`: the deadline, the trace and the caller are in it",
        );
    }
}

fn answers(method: &Method, errors: &mut Errors) {
    if method.answer.is_some() {
        return;
    }
    let message = "a contract method returns `Answer<T>`, or `Answer<T, R>` if it may refuse with `R`: \
                   a caller must learn what happened even when no answer came";
    match &method.item.sig.output {
        ReturnType::Default => errors.push(&method.item.sig.ident, message),
        ReturnType::Type(_, ty) => errors.push(ty, message),
    }
}

fn has_no_body(method: &Method, errors: &mut Errors) {
    if let Some(body) = &method.item.default {
        errors.push(
            body,
            "a contract method has no body: a contract promises, the service that implements it does",
        );
    }
}

fn is_in_every_build(method: &Method, errors: &mut Errors) {
    for attribute in &method.item.attrs {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            errors
                .push(attribute, "a contract method is there in every build: the two sides are built apart");
        }
    }
}

fn promises_one_thing(method: &Method, errors: &mut Errors) {
    let Some(first) = method.flags.first() else { return };
    for other in &method.flags[1..] {
        if other.promise == first.promise {
            errors.push(&other.ident, format!("`{}` is said already", other.ident));
        } else {
            errors.push(
                &other.ident,
                "a method is either `idempotent` (twice is as good as once) or `keyed` (twice under one key is)",
            );
        }
    }
    if first.promise == Promise::Keyed && method.routes.iter().any(|route| route.verb == Verb::Get) {
        errors.push(&first.ident, "a `get` reads, so it is idempotent by itself and needs no key");
    }
}
