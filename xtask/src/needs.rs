//! What a build needs of the machine: programs and headers. What is missing is brought where that can be done, else named.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::command::run;

/// A package of Debian and its heirs, and how one sees that it is there.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("cc", "gcc", "a C compiler, for the bundled SQLite"),
    ("c++", "g++", "a C++ compiler, for Kafka's client"),
    ("cmake", "cmake", "it builds Kafka's client"),
];
const HEADERS: [(&str, &str); 2] = [("curl/curl.h", "libcurl4-openssl-dev"), ("openssl/ssl.h", "libssl-dev")];

/// Brings what is missing, by `apt-get` and as root; elsewhere it says what to install.
pub(crate) fn all() -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for (program, package, what) in PROGRAMS {
        if !is_program(program) {
            missing.push((package, format!("`{program}` is missing ({what})")));
        }
    }
    // Without a compiler nobody can tell which headers there are.
    if is_program("cc") {
        for (header, package) in HEADERS {
            if !is_header(header)? {
                missing.push((package, format!("<{header}> is missing, which Kafka's client includes")));
            }
        }
    } else {
        missing.extend(HEADERS.map(|(header, package)| (package, format!("<{header}>"))));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(package, _)| *package).collect();
    let words: Vec<&str> = missing.iter().map(|(_, words)| words.as_str()).collect();
    let (words, packages_named) = (words.join("; "), packages.join(" "));
    if !(is_program("apt-get") && is_root()) {
        bail!("{words}: install what Debian calls {packages_named}");
    }
    eprintln!("{words}: installing {packages_named}");
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        run(&mut apt, &format!("apt-get {}", arguments.join(" ")))
    };
    apt(&["update", "--quiet"])?;
    apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"][..], &packages].concat())
}

fn is_program(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| Path::new(&directory).join(program).exists())
}

/// Whether the C compiler finds it.
fn is_header(header: &str) -> anyhow::Result<bool> {
    let mut cc = Command::new("cc")
        .args(["-E", "-x", "c", "-o", "/dev/null", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start `cc`")?;
    // It goes out of scope there, and the compiler sees the end.
    cc.stdin
        .take()
        .context("no way to speak to `cc`")?
        .write_all(format!("#include <{header}>\n").as_bytes())?;
    Ok(cc.wait()?.success())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}
