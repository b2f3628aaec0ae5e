//! The directory of a new node, made once a machine and then copied: it takes Java a second or two.

use std::fs;
use std::path::Path;

use crate::directory;
use crate::error::Error;
use crate::install::kafka::{Kafka, VERSION};
use crate::{cache, program};

/// Any cluster id; every copy gets one of its own.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// As much of a configuration as formatting looks at.
const CONFIGURATION: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:1
listeners=INTERNAL://127.0.0.1:2,CONTROLLER://127.0.0.1:1
listener.security.protocol.map=INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INTERNAL
controller.listener.names=CONTROLLER
";

/// Copies the directory of a new node, of a cluster of its own, to `data`.
pub(super) fn copy(kafka: &Kafka, data: &Path) -> Result<(), Error> {
    let template = cache::once(&format!("kafka-{VERSION}-empty"), |place| make(kafka, place))?;
    directory::copy(&template, data)?;
    let path = data.join("meta.properties");
    let text = fs::read_to_string(&path).map_err(Error::files("read", &path))?;
    fs::write(&path, text.replace(CLUSTER, &new_id()?)).map_err(Error::files("write", &path))
}

fn make(kafka: &Kafka, place: &Path) -> Result<(), Error> {
    let outside = directory::Directory::new(None, "kafka-format")?;
    let configuration = outside.path().join("server.properties");
    let text = format!("{CONFIGURATION}log.dirs={}\n", place.display());
    fs::write(&configuration, text).map_err(Error::files("write", &configuration))?;
    let mut format = kafka.command("kafka.tools.StorageTool");
    program::run(format.args(["format", "--cluster-id", CLUSTER, "--config"]).arg(configuration)).map(drop)
}

/// 22 characters, like an id that Kafka makes.
fn new_id() -> Result<String, Error> {
    let path = Path::new("/proc/sys/kernel/random/uuid");
    let text = fs::read_to_string(path).map_err(Error::files("read", path))?;
    Ok(text.chars().filter(char::is_ascii_hexdigit).take(22).collect())
}
