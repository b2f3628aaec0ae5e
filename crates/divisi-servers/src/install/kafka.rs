//! Apache Kafka from its published jars, by Maven.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::install::{expect_version, installed, tool};
use crate::{cache, program};

/// The version that is installed.
pub(crate) const VERSION: &str = "4.1.0";

const NAME: &str = "kafka-4.1.0";

/// What Maven is asked for: the broker, and what its log needs.
const PROJECT: &str = include_str!("kafka/pom.xml");

/// Apart, so that who has the broker needs only these.
const TOOLS: &str = "kafka-tools-4.1.0";
const PROJECT_OF_TOOLS: &str = include_str!("kafka/tools.xml");

/// Kafka's own commands, and the class behind each.
const COMMANDS: [(&str, &str); 2] = [
    ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
];

/// Java and the jars.
#[derive(Debug, Clone)]
pub(crate) struct Kafka {
    java: PathBuf,
    jars: PathBuf,
}

impl Kafka {
    /// A command that runs one of Kafka's classes once its arguments are added.
    pub(crate) fn command(&self, class: &str) -> Command {
        let mut command = Command::new(&self.java);
        command
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
            .arg(self.class_path())
            .arg(class);
        command
    }

    pub(crate) fn java(&self) -> &Path {
        &self.java
    }

    pub(crate) fn class_path(&self) -> PathBuf {
        self.jars.join("*")
    }
}

pub(crate) fn find() -> Result<Kafka, Error> {
    Ok(Kafka { java: java()?, jars: installed(NAME, "Apache Kafka")? })
}

/// Where Kafka's own commands are.
pub(crate) fn tools() -> Result<PathBuf, Error> {
    installed(TOOLS, "Apache Kafka's commands")
}

pub(crate) fn install() -> Result<Kafka, Error> {
    let java = java()?;
    let jars = cache::once(NAME, |place| {
        fetch(PROJECT, place)?;
        let kafka = Kafka { java: java.clone(), jars: place.to_owned() };
        let said = program::run(kafka.command("kafka.Kafka").arg("--version"))?;
        expect_version(&kafka.java, &said, VERSION)
    })?;
    cache::once(TOOLS, |place| {
        fetch(PROJECT_OF_TOOLS, place)?;
        COMMANDS.iter().try_for_each(|(name, class)| write_command(&place.join(name), class))
    })?;
    Ok(Kafka { java, jars })
}

/// Has Maven bring the jars of a project.
fn fetch(project: &str, place: &Path) -> Result<(), Error> {
    let maven = tool("mvn", "install Maven (`apt-get install maven`); Apache Kafka comes through it")?;
    let file = place.join("pom.xml");
    fs::write(&file, project.replace("KAFKA_VERSION", VERSION)).map_err(Error::files("write", &file))?;
    program::run(
        Command::new(maven)
            .args(["--batch-mode", "--quiet", "dependency:copy-dependencies", "--file"])
            .arg(&file)
            .arg(format!("-DoutputDirectory={}", place.display())),
    )
    .map(drop)
}

/// A command as Kafka's distribution has it, on the broker's jars beside it.
fn write_command(path: &Path, class: &str) -> Result<(), Error> {
    let text = format!(
        "#!/bin/sh\n\
         here=$(dirname \"$0\")\n\
         exec \"${{JAVA_HOME:+$JAVA_HOME/bin/}}java\" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \\\n\
         \x20 -cp \"$here/*:$here/../{NAME}/*\" {class} \"$@\"\n"
    );
    fs::write(path, text).map_err(Error::files("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Error::files("open to all", path))
}

fn java() -> Result<PathBuf, Error> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    match home.filter(|java| java.is_file()) {
        Some(java) => Ok(java),
        None => tool(
            "java",
            "install Java 17 or newer (`apt-get install openjdk-17-jre-headless`); Apache Kafka runs on it",
        ),
    }
}
