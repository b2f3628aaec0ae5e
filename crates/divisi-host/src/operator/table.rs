//! Rows for people: columns aligned, and nothing in them that a terminal would obey.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use divisi_store::Timestamp;

use crate::telemetry::clock::Rfc3339;

/// A table with a line of headings, and lines of words below a row.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    headings: [&'static str; N],
    rows: Vec<([String; N], Vec<String>)>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(headings: [&'static str; N]) -> Table<N> {
        Table { headings, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, columns: [String; N]) {
        self.rows.push((columns.map(|column| plain(&column)), Vec::new()));
    }

    /// A line below the last row.
    pub(super) fn note(&mut self, words: &str) {
        if let Some((_, notes)) = self.rows.last_mut() {
            notes.push(plain(words));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = self.headings.map(str::len);
        for (columns, _) in &self.rows {
            for (width, column) in widths.iter_mut().zip(columns) {
                *width = (*width).max(column.chars().count());
            }
        }
        line(f, &self.headings, &widths)?;
        for (columns, notes) in &self.rows {
            line(f, columns, &widths)?;
            for note in notes {
                writeln!(f, "    {note}")?;
            }
        }
        Ok(())
    }
}

fn line<S: AsRef<str>>(f: &mut fmt::Formatter<'_>, columns: &[S], widths: &[usize]) -> fmt::Result {
    let padded: Vec<String> =
        columns.iter().zip(widths).map(|(column, width)| format!("{:<width$}", column.as_ref())).collect();
    writeln!(f, "{}", padded.join("  ").trim_end())
}

/// The text with its control characters spelled out: keys and reasons are other people's bytes.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect()
}

/// `2026-11-24T13:20:42.123Z`
pub(super) fn time(at: Timestamp) -> String {
    let since = Duration::from_micros(u64::try_from(at.0).unwrap_or(0));
    UNIX_EPOCH.checked_add(since).map_or_else(|| "-".to_owned(), |time| Rfc3339(time).to_string())
}

/// How long ago `then` was: `5s`, `3m`, `2h`, `4d`.
pub(super) fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.0.saturating_sub(then.0).max(0) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
