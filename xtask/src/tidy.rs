//! What a reader relies on: every file says what it is for, and every test that a page names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::command::root;

/// Checks first lines, and the names in docs/faults.md.
pub(crate) fn check() -> anyhow::Result<()> {
    let mut files = Vec::new();
    for folder in ["crates", "apps", "xtask"] {
        rust_files(&root().join(folder), &mut files)?;
    }
    let mut mistakes = Vec::new();
    let mut functions = BTreeSet::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        // A `tests.rs` is told by the module beside it; snapshots and what the compiler is meant to refuse are not read.
        let unread =
            |part: std::path::Component<'_>| part.as_os_str() == "ui" || part.as_os_str() == "snapshots";
        let for_readers = !file.ends_with("tests.rs") && !file.components().any(unread);
        if for_readers && !text.starts_with("//!") {
            mistakes.push(format!("{} does not say in its first line what it is for", file.display()));
        }
        functions.extend(text.split("fn ").skip(1).filter_map(name).map(str::to_owned));
    }
    let page = fs::read_to_string(root().join("docs/faults.md")).context("cannot read docs/faults.md")?;
    let rows = page.lines().filter(|line| line.starts_with("| F-"));
    for word in rows.flat_map(|row| row.split('`').skip(1).step_by(2)) {
        if !functions.contains(word) {
            mistakes.push(format!("docs/faults.md names the test `{word}`, which does not exist"));
        }
    }
    if !mistakes.is_empty() {
        bail!("the tree is not tidy:\n  {}", mistakes.join("\n  "));
    }
    Ok(())
}

fn name(rest: &str) -> Option<&str> {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    (end > 0).then(|| &rest[..end])
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
