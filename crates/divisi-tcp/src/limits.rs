//! Every limit of a connection: its name, its default and the reason for it.

use std::time::Duration;

/// The limits of one side. Each has a default; change one with `Limits { frame_max: …, ..Limits::default() }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame that this side takes, in bytes. Each side tells the other its own in the handshake.
    ///
    /// 16 MiB: a page of events or a photograph fits, and a few of them at once do not endanger a small machine.
    /// Larger things are streams.
    pub frame_max: usize,
    /// Calls in flight on one connection; one more fails with `Overloaded`, and did not run.
    ///
    /// 1024: the same as a route's, so that it is the route that speaks first.
    pub calls_in_flight_max: usize,
    /// Bytes that may wait to be written. A server beyond it reads no more requests until its answers are taken;
    /// a call beyond it waits, until its deadline.
    ///
    /// 4 MiB: the amount in flight on a fast line across a continent, so that it never slows a healthy peer.
    pub write_buffer_max: usize,
    /// Bytes of answers that may wait for a client that does not take them, when calls end that had begun before. The
    /// answer of one more is thrown away, and in its place goes, in a few words, that nobody took it.
    ///
    /// 64 MiB: four of the largest answers, so that no client that reads ever meets it.
    pub unread_max: usize,
    /// How long a connection may stay without a byte in either direction before a server closes it.
    ///
    /// 60 s: four missed pings; the peer is gone and its machine did not say so.
    pub idle_max: Duration,
    /// How long a client hears nothing before it asks whether the server is there.
    ///
    /// 15 s: below the 30 s after which the strictest middle boxes forget a connection.
    pub ping_after: Duration,
    /// How long the answer to that may take before the connection counts as broken.
    ///
    /// 10 s: longer than any pause of a healthy process, and far below what TCP itself would wait.
    pub pong_within: Duration,
    /// How long both sides may take to greet each other.
    ///
    /// 5 s: two small frames; whoever needs longer is not a peer.
    pub handshake_within: Duration,
    /// Connections that a server keeps; one more is refused in words.
    ///
    /// 1024: two for each of 500 processes, and below the usual limit of open files.
    pub connections_max: usize,
    /// How long making a connection may take.
    ///
    /// 3 s: one lost packet and its repetition.
    pub connect_within: Duration,
    /// How long a call waits for a connection when there is none, if its deadline allows.
    ///
    /// 1 s: a restart of the callee on the same machine goes unnoticed; an absent callee is reported while it matters.
    pub unreachable_after: Duration,
    /// The first pause between two attempts to connect. Each further one is twice as long, and each is shortened
    /// at random by up to half.
    ///
    /// 50 ms: shorter than a restart, longer than a refusal costs.
    pub reconnect_first: Duration,
    /// The longest pause between two attempts to connect.
    ///
    /// 1 s: no longer than a call waits, so that each one that waits sees an attempt.
    pub reconnect_max: Duration,
    /// How long calls that run may still take after a server began to drain.
    ///
    /// 10 s: a third of what Kubernetes grants a process before it is killed.
    pub drain_within: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_max: 16 * 1024 * 1024,
            calls_in_flight_max: divisi_call::limit::CALLS_IN_FLIGHT_MAX,
            write_buffer_max: 4 * 1024 * 1024,
            unread_max: 64 * 1024 * 1024,
            idle_max: Duration::from_secs(60),
            ping_after: Duration::from_secs(15),
            pong_within: Duration::from_secs(10),
            handshake_within: Duration::from_secs(5),
            connections_max: 1_024,
            connect_within: Duration::from_secs(3),
            unreachable_after: Duration::from_secs(1),
            reconnect_first: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(1),
            drain_within: Duration::from_secs(10),
        }
    }
}

/// The largest first frame, in both directions: a Welcome that lists a thousand contracts fits.
pub const HANDSHAKE_FRAME_MAX: usize = 1024 * 1024;
/// The least that `frame_max` can be: an answer that says what went wrong must fit.
pub const FRAME_MIN: usize = 8 * 1024;
