//! What stands in the parentheses of an attribute, and what every macro does with it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Attribute, Expr, LitInt, LitStr, Path, Token};

use crate::errors::Errors;

/// The path to divisi, when it is not `::divisi`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crate(Option<Path>);

impl Crate {
    /// Where generated code finds everything: `::divisi::private`.
    pub(crate) fn private(&self) -> TokenStream {
        match &self.0 {
            Some(path) => quote!(#path::private),
            None => quote!(::divisi::private),
        }
    }

    /// Reads `crate = path`.
    pub(crate) fn read(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let value = meta.value()?;
        self.0 = Some(if value.peek(LitStr) { value.parse::<LitStr>()?.parse()? } else { value.parse()? });
        Ok(())
    }
}

/// Reads every option with `read`, which says whether it knows the option, and notes those that nobody knows.
pub(crate) fn read(
    tokens: TokenStream,
    known: &str,
    errors: &mut Errors,
    mut read: impl FnMut(&ParseNestedMeta<'_>, &mut Errors) -> syn::Result<bool>,
) {
    let mut unknown = Errors::default();
    let parser = syn::meta::parser(|meta| {
        if read(&meta, &mut unknown)? {
            return Ok(());
        }
        unknown.push(&meta.path, format!("unknown option; the options are {known}"));
        if meta.input.peek(Token![=]) {
            meta.value()?.parse::<Expr>()?;
        }
        Ok(())
    });
    if let Err(error) = parser.parse2(tokens) {
        unknown.add(error);
    }
    errors.merge(unknown);
}

/// Reads `version = N`.
pub(crate) fn version(meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<u32> {
    let literal: LitInt = meta.value()?.parse()?;
    let version = literal.base10_parse().unwrap_or(0);
    if version == 0 {
        errors.push(literal, "a version is a whole number from 1 on");
    }
    Ok(version)
}

/// `#[derive]`s for those of `wanted` that the user did not derive already, in the crates that divisi brings along.
pub(crate) fn derives(private: &TokenStream, attributes: &[Attribute], wanted: &[Derive]) -> TokenStream {
    let mut present = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        // A list that cannot be read is the compiler's to report.
        let _ = attribute.parse_nested_meta(|meta| {
            present.extend(meta.path.segments.last().map(|last| last.ident.to_string()));
            Ok(())
        });
    }
    let missing = wanted.iter().filter(|derive| !present.contains(&derive.name().to_owned()));
    let paths = missing.map(|derive| derive.path(private));
    let serde = quote!(#private::serde).to_string();
    let schemars = quote!(#private::schemars).to_string();
    quote! {
        #[derive(#(#paths),*)]
        #[serde(crate = #serde)]
        #[schemars(crate = #schemars)]
    }
}

/// What can be derived for a value of a contract.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Derive {
    Clone,
    Debug,
    PartialEq,
    Serialize,
    Deserialize,
    JsonSchema,
}

impl Derive {
    /// What every value of a contract has.
    pub(crate) const ALL: [Derive; 6] = [
        Derive::Clone,
        Derive::Debug,
        Derive::PartialEq,
        Derive::Serialize,
        Derive::Deserialize,
        Derive::JsonSchema,
    ];

    fn name(self) -> &'static str {
        match self {
            Derive::Clone => "Clone",
            Derive::Debug => "Debug",
            Derive::PartialEq => "PartialEq",
            Derive::Serialize => "Serialize",
            Derive::Deserialize => "Deserialize",
            Derive::JsonSchema => "JsonSchema",
        }
    }

    fn path(self, private: &TokenStream) -> TokenStream {
        match self {
            Derive::Clone => quote!(::core::clone::Clone),
            Derive::Debug => quote!(::core::fmt::Debug),
            Derive::PartialEq => quote!(::core::cmp::PartialEq),
            Derive::Serialize => quote!(#private::serde::Serialize),
            Derive::Deserialize => quote!(#private::serde::Deserialize),
            Derive::JsonSchema => quote!(#private::schemars::JsonSchema),
        }
    }
}
