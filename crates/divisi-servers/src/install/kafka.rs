//! Apache Kafka from its published jars, by Maven.

use std::fs;
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

pub(crate) fn install() -> Result<Kafka, Error> {
    let java = java()?;
    let jars = cache::once(NAME, |place| {
        let maven = tool("mvn", "install Maven (`apt-get install maven`); Apache Kafka comes through it")?;
        let project = place.join("pom.xml");
        fs::write(&project, PROJECT.replace("KAFKA_VERSION", VERSION))
            .map_err(Error::files("write", &project))?;
        program::run(
            Command::new(maven)
                .args(["--batch-mode", "--quiet", "dependency:copy-dependencies", "--file"])
                .arg(&project)
                .arg(format!("-DoutputDirectory={}", place.display())),
        )?;
        let kafka = Kafka { java: java.clone(), jars: place.to_owned() };
        let said = program::run(kafka.command("kafka.Kafka").arg("--version"))?;
        expect_version(&kafka.java, &said, VERSION)
    })?;
    Ok(Kafka { java, jars })
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
