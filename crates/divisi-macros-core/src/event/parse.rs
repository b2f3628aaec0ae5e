//! From a struct to the model of an event.

use proc_macro2::TokenStream;
use syn::{Data, DeriveInput, Field, Fields, LitStr};

use crate::errors::Errors;
use crate::options::{self, Crate};

/// A struct that is to be an event.
pub(super) struct Event {
    pub(super) item: DeriveInput,
    pub(super) krate: Crate,
    pub(super) topic: Option<LitStr>,
    pub(super) key: Option<LitStr>,
    pub(super) version: u32,
}

/// Reads the options; what cannot be read is noted and left out.
pub(super) fn event(options: TokenStream, item: DeriveInput, errors: &mut Errors) -> Event {
    let mut event = Event { item, krate: Crate::default(), topic: None, key: None, version: 1 };
    options::read(
        options,
        "`topic = \"…\"`, `key = \"…\"`, `version = N` and `crate = path`",
        errors,
        |meta, errors| {
            if meta.path.is_ident("topic") {
                event.topic = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("key") {
                event.key = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("version") {
                event.version = options::version(meta, errors)?;
            } else if meta.path.is_ident("crate") {
                event.krate.read(meta)?;
            } else {
                return Ok(false);
            }
            Ok(true)
        },
    );
    event
}

impl Event {
    /// Its fields, if it is a struct with named ones.
    pub(super) fn fields(&self) -> Option<impl Iterator<Item = &Field>> {
        match &self.item.data {
            Data::Struct(data) => match &data.fields {
                Fields::Named(fields) => Some(fields.named.iter()),
                Fields::Unnamed(_) | Fields::Unit => None,
            },
            Data::Enum(_) | Data::Union(_) => None,
        }
    }

    /// The field that is the key.
    pub(super) fn key_field(&self) -> Option<&Field> {
        let key = self.key.as_ref()?.value();
        self.fields()?.find(|field| field.ident.as_ref().is_some_and(|ident| *ident == key))
    }
}
