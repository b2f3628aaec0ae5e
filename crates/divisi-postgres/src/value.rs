//! Values between the store and PostgreSQL's types.
//!
//! A parameter takes the type that the prepared statement gives it: whole numbers fit every integer, float, boolean and
//! (as microseconds of the Unix epoch) timestamp; text fits every text, `uuid`, `json` and enum. Rows come back the
//! same way. `numeric`, dates and intervals are refused in words: SQLite has none, and a cast says what is meant.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use divisi_store::{Row, StoreError, StoreErrorKind, Value, ValueRef};
use tokio_postgres::Statement;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

/// Microseconds between the Unix epoch and PostgreSQL's, the first of January 2000.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800 * 1_000_000;
/// The version byte before the text of a `jsonb`.
const JSONB_VERSION: u8 = 1;

type Failed = Box<dyn Error + Sync + Send>;

/// A parameter.
#[derive(Debug)]
pub(crate) struct Bound<'a>(pub(crate) ValueRef<'a>);

/// A column.
pub(crate) struct Found(pub(crate) Value);

/// A value that the type at hand does not take.
#[derive(Debug, thiserror::Error)]
enum DoesNotFit {
    #[error("{value} does not fit the type {of}")]
    Value { value: &'static str, of: Type },
    #[error("{0} does not fit the type {1}")]
    Number(i64, Type),
    #[error("a column of type {0} cannot be read; cast it to bigint, double precision, text or bytea")]
    Column(Type),
}

impl ToSql for Bound<'_> {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        let unfit = |value| Err(DoesNotFit::Value { value, of: of.clone() }.into());
        match (self.0, base(of).clone()) {
            (ValueRef::Null, _) => return Ok(IsNull::Yes),
            (ValueRef::Integer(n), ty) => integer(n, &ty, out)?,
            (ValueRef::Bool(truth), Type::BOOL) => out.put_u8(u8::from(truth)),
            (ValueRef::Bool(truth), ty) => integer(i64::from(truth), &ty, out)?,
            (ValueRef::Real(n), Type::FLOAT8) => out.put_f64(n),
            #[expect(clippy::cast_possible_truncation, reason = "the column asks for no more")]
            (ValueRef::Real(n), Type::FLOAT4) => out.put_f32(n as f32),
            (ValueRef::Real(_), _) => return unfit("a number"),
            (ValueRef::Text(text), Type::UUID) => out.put_slice(Uuid::parse_str(text)?.as_bytes()),
            (ValueRef::Text(text), Type::JSONB) => {
                out.put_u8(JSONB_VERSION);
                out.put_slice(text.as_bytes());
            }
            (ValueRef::Text(text), ty) if is_text(&ty) => out.put_slice(text.as_bytes()),
            (ValueRef::Text(_), _) => return unfit("a text"),
            (ValueRef::Blob(bytes), Type::BYTEA) => out.put_slice(bytes),
            (ValueRef::Blob(bytes), Type::UUID) if bytes.len() == 16 => out.put_slice(bytes),
            (ValueRef::Blob(_), _) => return unfit("bytes"),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn integer(n: i64, of: &Type, out: &mut BytesMut) -> Result<(), Failed> {
    let unfit = || DoesNotFit::Number(n, of.clone());
    match *of {
        Type::INT8 => out.put_i64(n),
        Type::INT4 => out.put_i32(i32::try_from(n).map_err(|_| unfit())?),
        Type::INT2 => out.put_i16(i16::try_from(n).map_err(|_| unfit())?),
        Type::OID => out.put_u32(u32::try_from(n).map_err(|_| unfit())?),
        #[expect(clippy::cast_precision_loss, reason = "SQLite does the same")]
        Type::FLOAT8 => out.put_f64(n as f64),
        #[expect(clippy::cast_precision_loss, reason = "SQLite does the same")]
        Type::FLOAT4 => out.put_f32(n as f32),
        Type::BOOL if n == 0 || n == 1 => out.put_u8(u8::from(n == 1)),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            out.put_i64(n.checked_sub(POSTGRES_EPOCH_MICROS).ok_or_else(unfit)?);
        }
        _ => return Err(unfit().into()),
    }
    Ok(())
}

impl<'a> FromSql<'a> for Found {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Found, Failed> {
        Ok(Found(match *base(of) {
            Type::INT8 => Value::Integer(i64::from_sql(&Type::INT8, raw)?),
            Type::INT4 => Value::Integer(i32::from_sql(&Type::INT4, raw)?.into()),
            Type::INT2 => Value::Integer(i16::from_sql(&Type::INT2, raw)?.into()),
            Type::OID => Value::Integer(u32::from_sql(&Type::OID, raw)?.into()),
            Type::BOOL => Value::Integer(bool::from_sql(&Type::BOOL, raw)?.into()),
            Type::FLOAT8 => Value::Real(f64::from_sql(&Type::FLOAT8, raw)?),
            Type::FLOAT4 => Value::Real(f32::from_sql(&Type::FLOAT4, raw)?.into()),
            Type::TIMESTAMP | Type::TIMESTAMPTZ => {
                Value::Integer(i64::from_sql(&Type::INT8, raw)?.saturating_add(POSTGRES_EPOCH_MICROS))
            }
            Type::BYTEA => Value::Blob(raw.to_vec()),
            Type::UUID => Value::Text(Uuid::from_slice(raw)?.to_string()),
            Type::JSONB => match raw.split_first() {
                Some((&JSONB_VERSION, text)) => Value::Text(std::str::from_utf8(text)?.to_owned()),
                _ => return Err(DoesNotFit::Column(of.clone()).into()),
            },
            // A function that returns nothing.
            Type::VOID => Value::Null,
            ref ty if is_text(ty) => Value::Text(std::str::from_utf8(raw)?.to_owned()),
            _ => return Err(DoesNotFit::Column(of.clone()).into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Found, Failed> {
        Ok(Found(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The type below a domain.
pub(crate) fn base(of: &Type) -> &Type {
    match of.kind() {
        Kind::Domain(inner) => base(inner),
        _ => of,
    }
}

fn is_text(of: &Type) -> bool {
    matches!(
        *of,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON | Type::XML
    ) || matches!(of.kind(), Kind::Enum(_))
        || of.name() == "citext"
}

/// The parameters of a statement, as many as it has.
pub(crate) fn bind<'a>(statement: &Statement, params: &[ValueRef<'a>]) -> Result<Vec<Bound<'a>>, StoreError> {
    let wanted = statement.params().len();
    if wanted != params.len() {
        return Err(StoreError::new(
            StoreErrorKind::Statement,
            format!(
                "the statement has {wanted} parameters, {} values were given; parameters are `$1`, `$2` … without a hole",
                params.len()
            ),
        ));
    }
    Ok(params.iter().map(|value| Bound(*value)).collect())
}

/// Bound values as the driver takes them.
pub(crate) fn borrowed<'a>(bound: &'a [Bound<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    bound.iter().map(|value| value as _).collect()
}

/// Rows as the store has them.
pub(crate) fn read(found: &[tokio_postgres::Row]) -> Result<Vec<Row>, StoreError> {
    found.iter().map(row).collect()
}

fn row(found: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let column = |n| found.try_get::<_, Found>(n).map(|found| found.0).map_err(unreadable);
    (0..found.len()).map(column).collect::<Result<_, _>>().map(Row::new)
}

/// A column of a type that the store does not read: the source says which.
fn unreadable(error: tokio_postgres::Error) -> StoreError {
    let message = match error.source() {
        Some(source) => source.to_string(),
        None => "a column cannot be read".to_owned(),
    };
    StoreError::new(StoreErrorKind::Type, message).with_source(error)
}
