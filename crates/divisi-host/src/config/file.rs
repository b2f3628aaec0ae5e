//! The file as keys and values, with the line of each.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::found::{Entry, Found};
use super::{Mistake, Source};

pub(super) fn read(path: &Path, text: &str, entries: &mut Vec<Entry>, mistakes: &mut Vec<Mistake>) {
    let source = |span: Range<usize>| Source::File(path.to_owned(), line(text, span.start));
    match DeTable::parse(text) {
        Ok(table) => flatten(table.get_ref(), &[], &source, entries),
        Err(error) => {
            let source = source(error.span().unwrap_or_default());
            mistakes.push(Mistake::new(format!("{source}: {}", error.message())));
        }
    }
}

fn flatten(
    table: &DeTable<'_>,
    above: &[String],
    source: &dyn Fn(Range<usize>) -> Source,
    entries: &mut Vec<Entry>,
) {
    for (key, value) in table {
        let mut path = above.to_vec();
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten(inner, &path, source, entries),
            _ => entries.push(Entry { path, found: found(value), source: source(key.span()) }),
        }
    }
}

fn found(value: &Spanned<DeValue<'_>>) -> Found {
    match value.get_ref() {
        DeValue::String(text) => Found::String(text.to_string()),
        DeValue::Integer(number) => {
            let value = u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok();
            Found::Integer(number.as_str().to_owned(), value)
        }
        DeValue::Float(number) => Found::Other(format!("the number {}", number.as_str())),
        DeValue::Boolean(value) => Found::Other(format!("`{value}`")),
        DeValue::Datetime(time) => Found::Other(format!("the time {time}")),
        DeValue::Array(_) => Found::Other("a list".to_owned()),
        DeValue::Table(_) => Found::EmptyTable,
    }
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
