//! From an enum to the model of a refusal.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, ItemEnum, LitInt, LitStr, Token, Type, TypePath, Variant};

use crate::errors::Errors;
use crate::options::{self, Crate};

/// An enum that is to be a refusal.
pub(super) struct Refusal {
    /// The enum, without the attributes that are for this macro.
    pub(super) item: ItemEnum,
    pub(super) krate: Crate,
    pub(super) reasons: Vec<Reason>,
}

/// One of its variants.
pub(super) struct Reason {
    /// The variant, without the attributes that are for this macro.
    pub(super) variant: Variant,
    pub(super) says: Vec<Says>,
    /// `#[from]` and the field that it stands on.
    pub(super) from: Option<(Attribute, Type)>,
    /// Whether it had an attribute that could not be read, and was reported.
    pub(super) unreadable: bool,
}

/// `#[refuse(404, "no post has this id")]`.
pub(super) struct Says {
    pub(super) status: LitInt,
    pub(super) message: LitStr,
}

/// Reads the enum and the options; what cannot be read is noted and left out.
pub(super) fn refusal(options: TokenStream, mut item: ItemEnum, errors: &mut Errors) -> Refusal {
    let mut krate = Crate::default();
    options::read(options, "`crate = path`", errors, |meta, _| {
        if meta.path.is_ident("crate") { krate.read(meta).map(|()| true) } else { Ok(false) }
    });
    let reasons = item.variants.iter_mut().map(|variant| reason(variant, errors)).collect();
    Refusal { item, krate, reasons }
}

fn reason(variant: &mut Variant, errors: &mut Errors) -> Reason {
    let mut says = Vec::new();
    let mut unreadable = false;
    variant.attrs.retain(|attribute| {
        if !attribute.path().is_ident("refuse") {
            return true;
        }
        match attribute.parse_args::<Says>() {
            Ok(one) => says.push(one),
            Err(error) => {
                unreadable = true;
                errors.add(error);
            }
        }
        false
    });
    let mut from = None;
    for field in &mut variant.fields {
        let ty = field.ty.clone();
        field.attrs.retain(|attribute| {
            if attribute.path().is_ident("from") {
                from = Some((attribute.clone(), ty.clone()));
                return false;
            }
            true
        });
    }
    Reason { variant: variant.clone(), says, from, unreadable }
}

impl Parse for Says {
    fn parse(input: ParseStream<'_>) -> syn::Result<Says> {
        let example =
            "a refusal says its status and a sentence, like `#[refuse(404, \"no post has this id\")]`";
        if !input.peek(LitInt) {
            return Err(syn::Error::new(input.span(), example));
        }
        let status = input.parse()?;
        if !input.peek(Token![,]) || !input.peek2(LitStr) {
            return Err(syn::Error::new(input.span(), example));
        }
        input.parse::<Token![,]>()?;
        let message = input.parse()?;
        if !input.is_empty() {
            return Err(syn::Error::new(input.span(), example));
        }
        Ok(Says { status, message })
    }
}

/// Whether this is `Invalid`, under whatever path.
pub(super) fn is_invalid(ty: &Type) -> bool {
    matches!(ty, Type::Path(TypePath { path, qself: None, .. })
        if path.segments.last().is_some_and(|last| last.ident == "Invalid"))
}
