//! What a stranger may ask of the gateway, each limit with a name, a default and its reason.

use std::time::Duration;

/// What a stranger may ask of the gateway.
///
/// ```
/// use divisi_gateway::Limits;
///
/// let limits = Limits { body_bytes_max: 64 << 10, ..Limits::default() };
/// assert_eq!(limits.drain_time_max.as_secs(), 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body: 1 MiB. What is larger is a file, and files do not travel as JSON. Beyond it: 413.
    pub body_bytes_max: usize,
    /// From the head of a request to its answer: 10 s, which is as long as people wait. It is the deadline of the
    /// call. A body that takes longer: 408; a call that does: 504.
    pub request_time_max: Duration,
    /// The largest head, all headers together: 32 KiB; browsers with many cookies send 8. Beyond it, and
    /// beyond 100 headers: 431.
    pub head_bytes_max: usize,
    /// How long a connection may take for the head of its next request: 60 s, longer than the idle time of common
    /// proxies is short. Beyond it the connection is closed.
    pub head_time_max: Duration,
    /// How long a stranger may take nothing of an answer: 30 s, as long as the worst hole in a mobile network. Beyond it
    /// the connection is cut.
    pub answer_stall_max: Duration,
    /// Open connections: 10,000. Further ones wait in the system's backlog.
    pub connections_max: usize,
    /// How long open requests may take once the gateway is told to stop: 10 s. Beyond it they are cut.
    pub drain_time_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 1 << 20,
            request_time_max: Duration::from_secs(10),
            head_bytes_max: 32 << 10,
            head_time_max: Duration::from_secs(60),
            answer_stall_max: Duration::from_secs(30),
            connections_max: 10_000,
            drain_time_max: Duration::from_secs(10),
        }
    }
}
