//! Figures as Prometheus reads them: version 0.0.4 of its text format.

use std::fmt::Write;

use super::{Figure, names};

/// All figures, by metric. One that is not known here comes from a newer process, and is left out.
pub(super) fn of(figures: &[Figure]) -> String {
    let mut text = String::new();
    for (name, kind, help) in names::ALL {
        let mut of_this = figures.iter().filter(|figure| figure.name == name).peekable();
        if of_this.peek().is_none() {
            continue;
        }
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for figure in of_this {
            let _ = writeln!(text, "{name}{} {}", labels(&figure.labels), figure.value);
        }
    }
    text
}

fn labels(labels: &[(String, String)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
