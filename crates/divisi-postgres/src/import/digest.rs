//! What a table comes to: how many rows, and a sum over them in which none can be missing, double or changed.

use std::fmt;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use xxhash_rust::xxh3::xxh3_128;

use crate::value::base;

/// A table so far. The order of rows does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) rows: u64,
    sum: u128,
}

/// A row's values as they go over the wire, and what of them counts.
#[derive(Default)]
pub(super) struct Line {
    counted: BytesMut,
}

/// A value as it goes over the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a>(pub(super) Option<&'a [u8]>);

impl Digest {
    /// Adds a row.
    pub(super) fn add(&mut self, line: &Line) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(xxh3_128(&line.counted));
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows with the sum {:032x}", self.rows, self.sum)
    }
}

impl Line {
    /// Begins the next row.
    pub(super) fn clear(&mut self) {
        self.counted.clear();
    }

    /// Adds the value of the next column.
    pub(super) fn add(&mut self, of: &Type, value: Option<&[u8]>) {
        let Some(value) = value else { return self.counted.put_u8(0) };
        self.counted.put_u8(1);
        let counts = match *base(of) {
            // The server keeps what they mean and not how they were written.
            Type::JSONB | Type::XML => &[],
            // Filled with blanks to its length.
            Type::BPCHAR => value.trim_ascii_end(),
            _ => value,
        };
        self.counted.put_u64(counts.len() as u64);
        self.counted.put_slice(counts);
    }
}

impl ToSql for Raw<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(value) = self.0 else { return Ok(IsNull::Yes) };
        out.put_slice(value);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw<'a>, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Raw<'a>, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
