//! The map in ARCHITECTURE.md is true: every crate stands there, and every arrow between crates is one that is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::command::root;

/// Which crates of the workspace a crate may name under `[dependencies]`. Whatever is not here is not allowed.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("divisi-contract", &[]),
    ("divisi-macros-core", &[]),
    ("divisi-macros", &["divisi-macros-core"]),
    // The macros only for the contract that the conformance suite calls, behind its feature.
    ("divisi-call", &["divisi-contract", "divisi-macros"]),
    ("divisi-store", &["divisi-contract"]),
    ("divisi-tcp", &["divisi-call", "divisi-contract"]),
    ("divisi-sqlite", &["divisi-contract", "divisi-store"]),
    ("divisi-postgres", &["divisi-contract", "divisi-store"]),
    ("divisi-events", &["divisi-call", "divisi-contract", "divisi-macros", "divisi-store"]),
    ("divisi-nats", &["divisi-call", "divisi-contract", "divisi-events", "divisi-store"]),
    ("divisi-kafka", &["divisi-call", "divisi-contract", "divisi-events", "divisi-store"]),
    ("divisi-host", &["divisi-call", "divisi-contract", "divisi-events", "divisi-store", "divisi-tcp"]),
    ("divisi-gateway", &["divisi-call", "divisi-contract", "divisi-host"]),
    ("divisi-servers", &[]),
    ("divisi-faults", &["divisi"]),
    (
        "divisi-testkit",
        &["divisi-call", "divisi-contract", "divisi-events", "divisi-host", "divisi-sqlite", "divisi-store"],
    ),
];

/// Services know the façade and their app's contracts, never each other.
fn service_may_know(name: &str) -> Option<BTreeSet<String>> {
    let (app, part) = name.split_once('-')?;
    let allowed = match part {
        "contracts" => vec!["divisi".to_owned()],
        _ => vec!["divisi".to_owned(), format!("{app}-contracts")],
    };
    Some(allowed.into_iter().collect())
}

/// Checks the arrows and the names.
pub(crate) fn check() -> anyhow::Result<()> {
    let architecture =
        fs::read_to_string(root().join("ARCHITECTURE.md")).context("cannot read ARCHITECTURE.md")?;
    let mut mistakes = Vec::new();
    let rules: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    for folder in ["crates", "apps/blog"] {
        let mut entries: Vec<_> = fs::read_dir(root().join(folder))?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries.into_iter().filter(|entry| entry.path().join("Cargo.toml").exists()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let known = dependencies(&entry.path().join("Cargo.toml"))?;
            if !architecture.contains(&format!("`{name}`")) {
                mistakes.push(format!("`{name}` does not stand in ARCHITECTURE.md"));
            }
            let allowed: BTreeSet<String> = match rules.get(name.as_str()) {
                Some(allowed) => allowed.iter().map(|&other| other.to_owned()).collect(),
                // The façade, an app's composition root and the benchmarks stand on top: they may know all.
                None if folder == "crates" || !name.contains('-') => continue,
                None => service_may_know(&name).unwrap_or_default(),
            };
            for other in known.difference(&allowed) {
                mistakes.push(format!("`{name}` depends on `{other}`, which the map does not allow"));
            }
        }
    }
    for word in architecture.split('`').skip(1).step_by(2).filter(|word| is_crate(word)) {
        if !["crates", "apps/blog"].iter().any(|folder| root().join(folder).join(word).exists()) {
            mistakes.push(format!("ARCHITECTURE.md names `{word}`, which does not exist"));
        }
    }
    if !mistakes.is_empty() {
        bail!("the map of crates is not true:\n  {}", mistakes.join("\n  "));
    }
    Ok(())
}

/// Crates of this workspace under `[dependencies]`.
fn dependencies(manifest: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let section = text.split("\n[").find(|section| section.starts_with("dependencies]")).unwrap_or_default();
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned();
    let ours = |name: &String| name == "divisi" || name.starts_with("divisi-") || name.starts_with("blog-");
    Ok(section.lines().skip(1).map(name).filter(ours).collect())
}

fn is_crate(word: &str) -> bool {
    let plain = word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    plain && (word.starts_with("divisi-") || word.starts_with("blog-")) && !word.ends_with('-')
}
