//! What a run found: figures, ratios with their aims, and where it was run.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::machine::Machine;
use crate::summary::Summary;

/// What a ratio or a figure should come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// Something measured.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    #[serde(flatten)]
    summary: Summary,
}

/// Something that has an aim.
#[derive(Debug, Serialize)]
struct Judged {
    name: String,
    unit: &'static str,
    #[serde(flatten)]
    summary: Summary,
    aim: Aim,
    reached: bool,
}

/// One run of one benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    benchmark: &'static str,
    date: String,
    machine: Machine,
    conditions: Vec<String>,
    aims: Vec<Judged>,
    figures: Vec<Figure>,
}

impl Report {
    /// An empty report of a benchmark that begins now, on this machine.
    pub(crate) fn new(benchmark: &'static str) -> Report {
        let (date, machine) = (crate::machine::date(), Machine::this());
        Report { benchmark, date, machine, conditions: Vec::new(), aims: Vec::new(), figures: Vec::new() }
    }

    /// Says something that a reader of the numbers must know.
    pub(crate) fn condition(&mut self, text: impl Into<String>) {
        self.conditions.push(text.into());
    }

    /// Keeps a figure, a value a round.
    pub(crate) fn figure(&mut self, name: impl Into<String>, unit: &'static str, rounds: &[f64]) {
        self.figures.push(Figure { name: name.into(), unit, summary: Summary::of(rounds) });
    }

    /// Keeps `ours ÷ theirs`, taken within each round; a figure where it has no aim.
    pub(crate) fn ratio(
        &mut self,
        name: impl Into<String>,
        ours: &[f64],
        theirs: &[f64],
        aim: impl Into<Option<Aim>>,
    ) {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        match aim.into() {
            Some(aim) => self.judge(name, "×", &ratios, aim),
            None => self.figure(name, "×", &ratios),
        }
    }

    /// Keeps a value that has an aim of its own.
    pub(crate) fn judge(&mut self, name: impl Into<String>, unit: &'static str, rounds: &[f64], aim: Aim) {
        let summary = Summary::of(rounds);
        self.aims.push(Judged {
            name: name.into(),
            unit,
            summary,
            aim,
            reached: aim.is_reached_by(summary.median),
        });
    }

    /// Prints it, and writes it to `results/` of the workspace.
    pub(crate) fn publish(self) -> anyhow::Result<()> {
        self.print();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .context("a crate without a workspace")?;
        let folder = root.join("results");
        fs::create_dir_all(&folder).context("cannot make `results`")?;
        let path = folder.join(format!("{}.json", self.benchmark));
        let text = serde_json::to_string_pretty(&self).context("a report that is not JSON")?;
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        println!("written to results/{}.json", self.benchmark);
        Ok(())
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        println!("{}  {}  {}", self.benchmark, self.date, self.machine);
        for condition in &self.conditions {
            println!("  {condition}");
        }
        println!("\n{:<58} {:>13} {:>13} {:>13}", "figure", "median", "min", "max");
        for Figure { name, unit, summary } in &self.figures {
            println!("{:<58} {} {unit}", name, columns(summary));
        }
        println!("\n{:<58} {:>13} {:>13} {:>13}  aim", "aim", "median", "min", "max");
        for Judged { name, unit, summary, aim, reached } in &self.aims {
            let verdict = if *reached { "reached" } else { "NOT REACHED" };
            println!("{:<58} {} {unit}  {aim}: {verdict}", name, columns(summary));
        }
        println!();
    }
}

fn columns(summary: &Summary) -> String {
    let number = |value: f64| match value {
        value if value.abs() >= 1_000.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    };
    format!("{:>13} {:>13} {:>13}", number(summary.median), number(summary.min), number(summary.max))
}

impl Aim {
    fn is_reached_by(self, value: f64) -> bool {
        match self {
            Aim::AtLeast(least) => value >= least,
            Aim::AtMost(most) => value <= most,
        }
    }
}

impl std::fmt::Display for Aim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Aim::AtLeast(least) => write!(f, "≥ {least}"),
            Aim::AtMost(most) => write!(f, "≤ {most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Aim;

    #[test]
    fn an_aim_is_reached_on_its_own_side_only() {
        assert!(Aim::AtLeast(0.8).is_reached_by(0.8) && !Aim::AtLeast(0.8).is_reached_by(0.79));
        assert!(Aim::AtMost(5.0).is_reached_by(5.0) && !Aim::AtMost(5.0).is_reached_by(5.1));
        assert!(!Aim::AtMost(5.0).is_reached_by(f64::NAN), "nothing measured is nothing reached");
    }
}
