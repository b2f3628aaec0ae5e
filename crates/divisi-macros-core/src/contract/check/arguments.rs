//! The rule for arguments: they move.

use syn::visit_mut::{self, VisitMut};
use syn::{Lifetime, Path, Type};

use crate::contract::parse::{Method, is_context};
use crate::errors::Errors;

/// Arguments and answers own what they hold: they may come from another machine.
pub(super) fn are_owned(method: &Method, errors: &mut Errors) {
    for argument in &method.arguments {
        if is_context(&argument.ty) {
            errors.push(&argument.ty, "the context comes first, right after `&self`, and once");
        } else if borrows(&argument.ty) {
            errors.push(
                &argument.ty,
                format!(
                    "`{}` borrows: an argument of a contract method is owned, since it may come from another machine",
                    argument.ident
                ),
            );
        } else if is_open(&argument.ty) {
            errors.push(&argument.ty, NAMES_ITS_TYPES);
        }
    }
    let Some(answer) = &method.answer else { return };
    for ty in std::iter::once(&answer.value).chain(&answer.refusal) {
        if borrows(ty) {
            errors.push(ty, "an answer is owned, since it may come from another machine");
        } else if is_open(ty) {
            errors.push(ty, NAMES_ITS_TYPES);
        }
    }
}

const NAMES_ITS_TYPES: &str = "a contract method names its types: the other side must know every type";

/// Whether there is a reference or a lifetime anywhere in `ty`.
fn borrows(ty: &Type) -> bool {
    Look::at(ty).borrows
}

/// Whether `ty` depends on who implements the contract, or is not one type.
fn is_open(ty: &Type) -> bool {
    Look::at(ty).open
}

#[derive(Default)]
struct Look {
    borrows: bool,
    open: bool,
}

impl Look {
    fn at(ty: &Type) -> Look {
        let mut look = Look::default();
        // There is a visitor for mutable trees already, and a type is small: a copy is cheaper than a second visitor.
        look.visit_type_mut(&mut ty.clone());
        look
    }
}

impl VisitMut for Look {
    fn visit_lifetime_mut(&mut self, _: &mut Lifetime) {
        self.borrows = true;
    }

    fn visit_type_mut(&mut self, ty: &mut Type) {
        self.borrows |= matches!(ty, Type::Reference(_));
        self.open |= matches!(ty, Type::ImplTrait(_) | Type::TraitObject(_) | Type::Infer(_));
        visit_mut::visit_type_mut(self, ty);
    }

    fn visit_path_mut(&mut self, path: &mut Path) {
        self.open |= path.segments.first().is_some_and(|first| first.ident == "Self");
        visit_mut::visit_path_mut(self, path);
    }
}
