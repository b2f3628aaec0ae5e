//! From a trait to the model of a contract.

use proc_macro2::{Ident, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, FnArg, GenericArgument, ItemTrait, LitInt, LitStr, Meta, Pat, PathArguments, ReturnType,
    Token, TraitItem, TraitItemFn, Type, TypePath,
};

use crate::errors::Errors;
use crate::options::{self, Crate};
use crate::text::kebab;

/// A trait that is to be a contract.
pub(super) struct Contract {
    /// The trait, without the attributes that are for this macro.
    pub(super) item: ItemTrait,
    pub(super) krate: Crate,
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) methods: Vec<Method>,
}

/// One of its methods.
pub(super) struct Method {
    /// The method, without the attributes that are for this macro.
    pub(super) item: TraitItemFn,
    /// The name of the context argument.
    pub(super) context: Option<Ident>,
    pub(super) arguments: Vec<Argument>,
    pub(super) answer: Option<Answer>,
    pub(super) routes: Vec<Route>,
    pub(super) flags: Vec<Flag>,
}

/// An argument that travels.
pub(super) struct Argument {
    pub(super) ident: Ident,
    pub(super) ty: Type,
}

/// `Answer<T, R>`.
pub(super) struct Answer {
    pub(super) value: Type,
    pub(super) refusal: Option<Type>,
}

/// `#[get("/posts/{post}", status = 200)]`.
pub(super) struct Route {
    pub(super) attribute: Attribute,
    pub(super) verb: Verb,
    pub(super) path: LitStr,
    pub(super) status: Option<LitInt>,
}

/// The verb of a route.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// A promise about repetition, with the place where it is made.
pub(super) struct Flag {
    pub(super) ident: Ident,
    pub(super) promise: Promise,
}

/// `idempotent` or `keyed`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    Idempotent,
    Keyed,
}

/// A piece of a path.
pub(super) enum Segment<'a> {
    Text(&'a str),
    Argument(&'a str),
}

/// Reads the trait and the options; what cannot be read is noted and left out.
pub(super) fn contract(options: TokenStream, mut item: ItemTrait, errors: &mut Errors) -> Contract {
    let mut krate = Crate::default();
    let mut name = kebab(&item.ident.to_string());
    let mut version = 1;
    options::read(options, "`name = \"…\"`, `version = N` and `crate = path`", errors, |meta, errors| {
        if meta.path.is_ident("name") {
            let literal: LitStr = meta.value()?.parse()?;
            name = literal.value();
            if !crate::text::is_kebab(&name) {
                errors.push(literal, "the name of a contract is in kebab-case, like `blog-comments`");
            }
        } else if meta.path.is_ident("version") {
            version = options::version(meta, errors)?;
        } else if meta.path.is_ident("crate") {
            krate.read(meta)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    });
    let methods = item
        .items
        .iter_mut()
        .filter_map(|item| match item {
            TraitItem::Fn(function) => Some(method(function, errors)),
            _ => None,
        })
        .collect();
    Contract { item, krate, name, version, methods }
}

fn method(item: &mut TraitItemFn, errors: &mut Errors) -> Method {
    let mut routes = Vec::new();
    let mut flags = Vec::new();
    item.attrs.retain(|attribute| {
        if let Some(verb) = Verb::of(attribute) {
            if matches!(attribute.meta, Meta::Path(_)) {
                errors.push(attribute, NO_PATH);
                return false;
            }
            match attribute.parse_args::<RouteArguments>() {
                Ok(RouteArguments { path, options }) => {
                    routes.push(Route { attribute: attribute.clone(), verb, path, status: options.status });
                    flags.extend(options.flags);
                }
                Err(error) => errors.add(error),
            }
            return false;
        }
        if attribute.path().is_ident("call") {
            if matches!(attribute.meta, Meta::Path(_)) {
                errors.push(attribute, "`#[call]` says `#[call(idempotent)]` or `#[call(keyed)]`");
                return false;
            }
            match attribute.parse_args::<MethodOptions>() {
                Ok(MethodOptions { status: Some(status), .. }) => {
                    errors.push(
                        status,
                        "a status belongs to a route, like `#[post(\"/posts\", status = 201)]`",
                    );
                }
                Ok(options) => flags.extend(options.flags),
                Err(error) => errors.add(error),
            }
            return false;
        }
        true
    });

    let mut typed = item.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    let mut context = None;
    let mut arguments = Vec::new();
    let mut first = typed.next();
    if let Some(input) = first
        && is_context(&input.ty)
    {
        match plain_name(&input.pat) {
            Some(name) => context = Some(name),
            None => errors
                .push(&input.pat, "an argument of a contract method is a plain name, like `cx: &Context`"),
        }
        first = None;
    }
    for input in first.into_iter().chain(typed) {
        match plain_name(&input.pat) {
            Some(ident) => arguments.push(Argument { ident, ty: (*input.ty).clone() }),
            None => errors.push(
                &input.pat,
                "an argument of a contract method is a plain name: callers send it by that name",
            ),
        }
    }
    let answer = answer(&item.sig.output);
    Method { item: item.clone(), context, arguments, answer, routes, flags }
}

/// Whether this is `&Context`, under whatever path.
pub(super) fn is_context(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else { return false };
    reference.mutability.is_none()
        && matches!(&*reference.elem, Type::Path(TypePath { path, qself: None, .. })
            if path.segments.last().is_some_and(|last| last.ident == "Context"))
}

fn plain_name(pattern: &Pat) -> Option<Ident> {
    match pattern {
        Pat::Ident(name) if name.by_ref.is_none() && name.mutability.is_none() && name.subpat.is_none() => {
            Some(name.ident.clone())
        }
        _ => None,
    }
}

/// `T` and `R` of `Answer<T, R>`, under whatever path.
fn answer(output: &ReturnType) -> Option<Answer> {
    let ReturnType::Type(_, ty) = output else { return None };
    let Type::Path(TypePath { path, qself: None, .. }) = &**ty else { return None };
    let last = path.segments.last().filter(|last| last.ident == "Answer")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let mut types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    });
    let (value, refusal) = (types.next()??, types.next());
    if types.next().is_some() || matches!(refusal, Some(None)) {
        return None;
    }
    Some(Answer { value, refusal: refusal.flatten() })
}

const NO_PATH: &str = "a route starts with its path, like `#[get(\"/posts/{post}\")]`";

/// The options that may follow a path, or stand alone in `#[call(…)]`.
#[derive(Default)]
struct MethodOptions {
    status: Option<LitInt>,
    flags: Vec<Flag>,
}

struct RouteArguments {
    path: LitStr,
    options: MethodOptions,
}

impl Parse for RouteArguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<RouteArguments> {
        if !input.peek(LitStr) {
            return Err(syn::Error::new(input.span(), NO_PATH));
        }
        let path = input.parse()?;
        let mut options = MethodOptions::default();
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
            options = input.parse()?;
        }
        Ok(RouteArguments { path, options })
    }
}

impl Parse for MethodOptions {
    fn parse(input: ParseStream<'_>) -> syn::Result<MethodOptions> {
        let mut options = MethodOptions::default();
        while !input.is_empty() {
            let ident: Ident = input.parse()?;
            match ident.to_string().as_str() {
                "status" => {
                    input.parse::<Token![=]>()?;
                    options.status = Some(input.parse()?);
                }
                "idempotent" => options.flags.push(Flag { ident, promise: Promise::Idempotent }),
                "keyed" => options.flags.push(Flag { ident, promise: Promise::Keyed }),
                _ => {
                    let known = "unknown option; the options are `status = 201`, `idempotent` and `keyed`";
                    return Err(syn::Error::new(ident.span(), known));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Verb {
    fn of(attribute: &Attribute) -> Option<Verb> {
        let path = match &attribute.meta {
            Meta::Path(path) => path,
            Meta::List(list) => &list.path,
            Meta::NameValue(_) => return None,
        };
        let verbs = [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete];
        verbs.into_iter().find(|verb| path.is_ident(&verb.name().to_lowercase()))
    }

    /// The name of its variant in `divisi_contract::Verb`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Verb::Get => "Get",
            Verb::Post => "Post",
            Verb::Put => "Put",
            Verb::Patch => "Patch",
            Verb::Delete => "Delete",
        }
    }

    /// Whether an argument that is not in the path is the body, and not in the query.
    pub(super) fn has_body(self) -> bool {
        matches!(self, Verb::Post | Verb::Put | Verb::Patch)
    }
}

impl Method {
    pub(super) fn ident(&self) -> &Ident {
        &self.item.sig.ident
    }

    /// What a caller may do when it does not know the outcome. A `get` reads, so it is idempotent.
    pub(super) fn promise(&self) -> Option<Promise> {
        let reads = self.routes.iter().any(|route| route.verb == Verb::Get);
        self.flags.first().map(|flag| flag.promise).or_else(|| reads.then_some(Promise::Idempotent))
    }
}

/// The segments of a path that starts with a slash.
pub(super) fn segments(path: &str) -> impl Iterator<Item = Segment<'_>> {
    path.split('/').skip(1).map(|text| match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => Segment::Argument(name),
        None => Segment::Text(text),
    })
}
