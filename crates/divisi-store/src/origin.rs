//! A database that is read whole, to be carried into another engine.

use tokio::sync::mpsc;

use crate::BoxFuture;
use crate::epoch::Epoch;
use crate::error::StoreError;
use crate::value::Row;

/// A table of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The columns that hold values of their own; generated ones are not among them.
    pub columns: Vec<String>,
    /// How many rows it has.
    pub rows: u64,
    /// The highest number that the database ever gave to a row of it, where it keeps count.
    pub last_number: Option<i64>,
    /// Whether it is an index that looks like a table, as one of a full-text search is: another engine may do without.
    pub is_index: bool,
}

/// A database that nobody writes while this lives. Everything is read from one snapshot, and nothing is changed.
pub trait Origin: Send + Sync {
    /// Where it is, for messages.
    fn what(&self) -> &str;

    /// Which database it is, whatever its place.
    fn identity(&self) -> &str;

    /// Its newest epoch. With the identity it names one state: who opens it to write begins another.
    fn epoch(&self) -> Epoch;

    /// Its tables, the framework's among them.
    fn tables(&self) -> &[Table];

    /// The rows of a table, a batch at a time, in the order of [`Table::columns`] and always in the same order. Reading
    /// stops when the receiver is dropped.
    fn rows(&self, table: &Table) -> mpsc::Receiver<Result<Vec<Row>, StoreError>>;

    /// What people call the `n`th of those rows, counted from 1: its key, or its number.
    fn row_name<'a>(&'a self, table: &'a Table, n: u64) -> BoxFuture<'a, String>;
}
