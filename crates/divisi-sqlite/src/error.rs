//! What SQLite says, as an error of the store.

use divisi_store::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;

/// Says what kind of trouble `error` is. The driver's own words stay in the chain.
pub(crate) fn store_error(error: rusqlite::Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(code) => kind_of(code),
        None => StoreErrorKind::Statement,
    };
    StoreError::new(kind, sentence(kind)).with_source(error)
}

fn kind_of(code: ErrorCode) -> StoreErrorKind {
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreErrorKind::Busy,
        ErrorCode::DiskFull => StoreErrorKind::Full,
        ErrorCode::ConstraintViolation => StoreErrorKind::Constraint,
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => StoreErrorKind::Io,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreErrorKind::Corrupt,
        ErrorCode::OperationInterrupted => StoreErrorKind::TooLong,
        ErrorCode::AuthorizationForStatementDenied => StoreErrorKind::Forbidden,
        ErrorCode::TypeMismatch => StoreErrorKind::Type,
        ErrorCode::Unknown | ErrorCode::ReadOnly | ErrorCode::ParameterOutOfRange => {
            StoreErrorKind::Statement
        }
        _ => StoreErrorKind::Other,
    }
}

fn sentence(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Busy => "the database is busy",
        StoreErrorKind::Full => "no room on the disk",
        StoreErrorKind::Constraint => "a constraint of a table was broken",
        StoreErrorKind::Io => "the disk could not be read or written",
        StoreErrorKind::Corrupt => "the database is damaged",
        StoreErrorKind::TooLong => "the transaction took longer than its limit",
        StoreErrorKind::Forbidden => {
            "a service's SQL has no transaction control, ATTACH, DETACH or PRAGMA: `tx` is the transaction, `tx.nested` a part of it"
        }
        StoreErrorKind::Type => "a value has a type that its column does not take",
        StoreErrorKind::Statement => "the statement is wrong",
        _ => "the database failed",
    }
}
