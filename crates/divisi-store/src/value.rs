//! Values in and out of rows, the same for every dialect.

use std::sync::Arc;

use bytes::Bytes;

use crate::epoch::Epoch;
use crate::error::{StoreError, StoreErrorKind};
use crate::record::{Lane, Pos, Timestamp};

/// A value that came out of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A whole number; truth values are 0 and 1.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A value that goes into a statement, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// A row that a query brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(Vec<Value>);

/// What can be bound to a parameter.
pub trait ToValue {
    /// The value, borrowed.
    fn to_value(&self) -> ValueRef<'_>;
}

/// What can be read from a column.
pub trait FromValue: Sized {
    /// The value, or an error that says what was found.
    fn from_value(value: Value) -> Result<Self, StoreError>;
}

/// What can be read from a row: a tuple of columns in order, or a type of the service's own.
pub trait FromRow: Sized {
    /// The value, or an error that names the column.
    fn from_row(row: Row) -> Result<Self, StoreError>;
}

/// Parameters of a statement, in the order of `$1`, `$2` …
///
/// ```
/// let id = 7_i64;
/// let title = String::from("hello");
/// let bound: &[divisi_store::ValueRef<'_>] = divisi_store::params![id, title, None::<String>];
/// assert_eq!(bound.len(), 3);
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::ToValue::to_value(&$value)),*] };
}

impl Row {
    /// A row of these columns.
    pub fn new(values: Vec<Value>) -> Row {
        Row(values)
    }

    /// Takes the value of column `n`, counted from 0; a second take finds `NULL`.
    pub fn take<T: FromValue>(&mut self, n: usize) -> Result<T, StoreError> {
        let n_columns = self.0.len();
        let value = self.0.get_mut(n).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Type, format!("the row has {n_columns} columns, so none at {n}"))
        })?;
        T::from_value(std::mem::replace(value, Value::Null))
            .map_err(|error| StoreError { message: format!("column {n}: {}", error.message), ..error })
    }

    /// The values of all columns.
    pub fn into_values(self) -> Vec<Value> {
        self.0
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value {
    /// The value, borrowed, as a parameter.
    pub fn borrowed(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Integer(n) => ValueRef::Integer(*n),
            Value::Real(n) => ValueRef::Real(*n),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

impl ValueRef<'_> {
    /// The value, kept beyond what it was borrowed from; a truth value is a whole number then.
    pub fn owned(&self) -> Value {
        match *self {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(n) => Value::Integer(n),
            ValueRef::Real(n) => Value::Real(n),
            ValueRef::Bool(truth) => Value::Integer(truth.into()),
            ValueRef::Text(text) => Value::Text(text.to_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        }
    }
}

fn other(wanted: &str, found: &Value) -> StoreError {
    let found = match found {
        Value::Null => "NULL",
        Value::Integer(_) => "a whole number",
        Value::Real(_) => "a number",
        Value::Text(_) => "text",
        Value::Blob(_) => "bytes",
    };
    StoreError::new(StoreErrorKind::Type, format!("{wanted} was expected, {found} was found"))
}

impl FromValue for i64 {
    fn from_value(value: Value) -> Result<i64, StoreError> {
        match value {
            Value::Integer(n) => Ok(n),
            found => Err(other("a whole number", &found)),
        }
    }
}

macro_rules! small_integer {
    ($($t:ty),*) => {$(
        impl FromValue for $t {
            fn from_value(value: Value) -> Result<$t, StoreError> {
                let n = i64::from_value(value)?;
                <$t>::try_from(n).map_err(|_| {
                    StoreError::new(StoreErrorKind::Type, format!("{n} does not fit {}", stringify!($t)))
                })
            }
        }
        impl ToValue for $t {
            fn to_value(&self) -> ValueRef<'_> {
                ValueRef::Integer(i64::from(*self))
            }
        }
    )*};
}
small_integer!(i32, u8, u16, u32);

macro_rules! newtype {
    ($($t:ident($inner:ty)),*) => {$(
        impl FromValue for $t {
            fn from_value(value: Value) -> Result<$t, StoreError> {
                <$inner>::from_value(value).map($t)
            }
        }
        impl ToValue for $t {
            fn to_value(&self) -> ValueRef<'_> {
                self.0.to_value()
            }
        }
    )*};
}
newtype!(Lane(u16), Pos(i64), Epoch(i64), Timestamp(i64));

impl FromValue for bool {
    fn from_value(value: Value) -> Result<bool, StoreError> {
        i64::from_value(value).map(|n| n != 0)
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Result<f64, StoreError> {
        match value {
            Value::Real(n) => Ok(n),
            found => Err(other("a number", &found)),
        }
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<String, StoreError> {
        match value {
            Value::Text(text) => Ok(text),
            found => Err(other("text", &found)),
        }
    }
}

impl FromValue for Arc<str> {
    fn from_value(value: Value) -> Result<Arc<str>, StoreError> {
        String::from_value(value).map(Arc::from)
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Vec<u8>, StoreError> {
        match value {
            Value::Blob(bytes) => Ok(bytes),
            found => Err(other("bytes", &found)),
        }
    }
}

impl FromValue for Bytes {
    fn from_value(value: Value) -> Result<Bytes, StoreError> {
        Vec::<u8>::from_value(value).map(Bytes::from)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Option<T>, StoreError> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl ToValue for i64 {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Integer(*self)
    }
}

impl ToValue for f64 {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Real(*self)
    }
}

impl ToValue for bool {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Bool(*self)
    }
}

impl ToValue for str {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Text(self)
    }
}

impl ToValue for String {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Text(self)
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl ToValue for Bytes {
    fn to_value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> ValueRef<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue + ?Sized> ToValue for Arc<T> {
    fn to_value(&self) -> ValueRef<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, ToValue::to_value)
    }
}

impl FromRow for Row {
    fn from_row(row: Row) -> Result<Row, StoreError> {
        Ok(row)
    }
}

macro_rules! tuple {
    ($($t:ident $n:tt),+) => {
        impl<$($t: FromValue),+> FromRow for ($($t,)+) {
            fn from_row(mut row: Row) -> Result<Self, StoreError> {
                Ok(($(row.take::<$t>($n)?,)+))
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
