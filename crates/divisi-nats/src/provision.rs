//! Making the streams of topics as an operator, for services that may not.

use std::time::Duration;

use divisi_events::carrier::CarrierError;

use crate::error::ConnectError;
use crate::names::Names;
use crate::nats::Nats;
use crate::options::Options;

/// How long the connection may take: nobody goes on without one.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// Why streams could not be made. What had been made stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// There is no connection to begin with.
    #[error("cannot connect to NATS")]
    Connect(#[source] ConnectError),
    /// The server is not there, or does not let this user in.
    #[error("cannot reach NATS")]
    Reach(#[source] CarrierError),
    /// A stream is something else, or cannot be made.
    #[error("cannot make the stream of the topic `{topic}`")]
    Stream {
        /// The topic.
        topic: String,
        /// Why.
        source: CarrierError,
    },
}

/// Makes the stream of each of `topics`, or looks whether the one that is there is as `options` say. Answers each
/// stream, and whether it is new. It may be repeated.
pub async fn provision(options: Options, topics: &[&str]) -> Result<Vec<(String, bool)>, ProvisionError> {
    let nats = Nats::connect(options).await.map_err(ProvisionError::Connect)?;
    nats.connection.connected(CONNECTED_WITHIN).await.map_err(ProvisionError::Reach)?;
    let mut streams = Vec::new();
    for topic in topics {
        let failed = |source| ProvisionError::Stream { topic: (*topic).to_owned(), source };
        let names = nats.names(topic).map_err(failed)?;
        let found = nats.streams.look(&nats.connection, &names).await.map_err(failed)?;
        streams.push((names.stream, found.made));
    }
    Ok(streams)
}

/// What [`provision()`] makes, as commands for `nats`. Nobody is asked.
pub fn provisioning(options: &Options, topics: &[&str]) -> Result<String, CarrierError> {
    let mut text = String::new();
    for topic in topics {
        let Names { stream, subjects, .. } = Names::of(&options.prefix, topic)?;
        let stream_options = &options.stream;
        let max_bytes = stream_options.max_bytes.map_or("-1".to_owned(), |bytes| bytes.to_string());
        text.push_str(&format!(
            "nats stream add '{stream}' --subjects '{subjects}' --storage file --retention limits --discard old \
             --max-age {}s --max-bytes {max_bytes} --max-msgs -1 --max-msgs-per-subject -1 --max-msg-size -1 \
             --replicas {} --dupe-window {}s --defaults\n",
            stream_options.max_age.as_secs(),
            stream_options.replicas,
            stream_options.duplicate_window.as_secs(),
        ));
    }
    Ok(text)
}
