//! The rule for arguments: they move.

use syn::visit_mut::{self, VisitMut};
use syn::{Lifetime, Type};

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
        } else if matches!(argument.ty, Type::ImplTrait(_)) {
            errors
                .push(&argument.ty, "a contract method names its types: the other side must know every type");
        }
    }
    let Some(answer) = &method.answer else { return };
    for ty in std::iter::once(&answer.value).chain(&answer.refusal) {
        if borrows(ty) {
            errors.push(ty, "an answer is owned, since it may come from another machine");
        }
    }
}

/// Whether there is a reference or a lifetime anywhere in `ty`.
fn borrows(ty: &Type) -> bool {
    let mut look = Look(false);
    look.visit_type_mut(&mut ty.clone());
    look.0
}

struct Look(bool);

impl VisitMut for Look {
    fn visit_lifetime_mut(&mut self, _: &mut Lifetime) {
        self.0 = true;
    }

    fn visit_type_mut(&mut self, ty: &mut Type) {
        self.0 |= matches!(ty, Type::Reference(_));
        visit_mut::visit_type_mut(self, ty);
    }
}
