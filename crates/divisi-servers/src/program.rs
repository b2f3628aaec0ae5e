//! Programs that do something and end: looked for, run, and quoted when they fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;

/// How much of what somebody said is quoted.
const QUOTED: usize = 4_000;

/// Looks for a program on the path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// Runs a command to its end and brings what it wrote to standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn { program: program.clone(), source })?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    Err(Error::Failed {
        program: std::iter::once(program.into()).chain(arguments).collect::<Vec<_>>().join(" "),
        status: output.status,
        output: tail(&said).to_owned(),
    })
}

/// The end of a text, in whole lines if it has some.
pub(crate) fn tail(text: &str) -> &str {
    let text = text.trim_end();
    if text.len() <= QUOTED {
        return text;
    }
    let mut start = text.len() - QUOTED;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let end = &text[start..];
    end.split_once('\n').map_or(end, |(_, whole)| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_quoted() {
        let error = run(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("one\ntwo"), "{text}");
    }

    #[test]
    fn the_end_of_a_long_text_is_whole_lines() {
        let text: String = (0..2_000).map(|n| format!("line {n} ä\n")).collect();
        let end = tail(&text);
        assert!(end.len() <= QUOTED && end.starts_with("line ") && end.ends_with("line 1999 ä"), "{end}");
        assert_eq!(tail("short\n"), "short");
    }
}
