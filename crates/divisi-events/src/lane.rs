//! Where a lane of a consumer on a carrier is read from: the carrier, or the log. Pure: time is handed in.
//!
//! ```text
//!             a gap for 200 ms, or a head of 1 s ago not reached
//!   Carrier ────────────────────────────────────────────────────► Log
//!           ◄────────────────────────────────────────────────────
//!             the carrier leads, and the hold time is over
//! ```
//!
//! A carrier is never trusted, so a lane must notice by itself that something is missing, and must not swing between
//! the two. On the log the carrier is still read, but only counted. Nothing here is needed for safety: that is the
//! watermark's. It decides how soon a reader goes on and how often it asks its source.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use divisi_store::Pos;
use divisi_store::mutation::{self, Mutation};

/// How long a gap may last before the log is asked: relays go back and send again, and that is cheaper.
pub const GAP_MAX: Duration = Duration::from_millis(200);
/// How long ago a head must have been learnt before a lane that is below it goes to the log.
pub const HEAD_AGE: Duration = Duration::from_secs(1);
/// The carrier leads when it has brought what the watermark was so long ago.
pub const LEAD: Duration = Duration::from_millis(200);
/// How long a lane stays on the log at the least, after its first fall.
pub const HOLD_MIN: Duration = Duration::from_secs(5);
/// How long it stays there at the most because of earlier falls.
pub const HOLD_MAX: Duration = Duration::from_secs(5 * 60);
/// A lane that was on the carrier for so long has forgotten its falls.
pub const HOLD_FORGOTTEN: Duration = Duration::from_secs(10 * 60);

/// Watermarks closer together than this share a sample; the later one counts, which only makes a lead harder.
const SAMPLE: Duration = Duration::from_millis(20);

/// Which feed a lane follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Records of the carrier are applied.
    Carrier,
    /// Records of the log are applied; those of the carrier are counted.
    Log,
}

/// What a consumer holds of a lane, out of the carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// Nothing.
    Empty,
    /// The next record of the lane.
    Applicable,
    /// Records, but not the next one: something is missing, or they are of a history that is not known here.
    Gap,
}

/// Why a lane changed its feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// To the log: what comes next did not arrive in time.
    Gap,
    /// To the log: the source has had more for a while, and the carrier did not bring it.
    Behind,
    /// Back to the carrier: it leads.
    Leads,
}

/// The two states of one lane.
#[derive(Debug, Clone)]
pub struct LaneInput {
    on: On,
    /// The watermark.
    at: Pos,
    /// The highest position of this history that the carrier has brought.
    counted: Pos,
    /// The watermark of the last moments, oldest first; the first sample is older than [`LEAD`], if one is.
    past: VecDeque<(Instant, Pos)>,
    /// The oldest head above the watermark, and the newest.
    heads: Option<(Learnt, Learnt)>,
    /// How long the next fall will hold.
    hold: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Learnt {
    head: Pos,
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
enum On {
    Carrier {
        since: Instant,
        gap: Option<Instant>,
        /// The log is read up to here: the carrier brought it while it was only counted.
        bridge: Pos,
    },
    Log {
        /// The watermark at the switch.
        from: Pos,
        /// Not back before this.
        until: Instant,
    },
}

impl LaneInput {
    /// A lane whose watermark is `at`. Without a hint where to resume it starts on the log, and at the carrier's end.
    pub fn new(at: Pos, hinted: bool, now: Instant) -> LaneInput {
        let on = if hinted {
            On::Carrier { since: now, gap: None, bridge: at }
        } else {
            On::Log { from: at, until: now + HOLD_MIN }
        };
        LaneInput { on, at, counted: Pos(0), past: VecDeque::from([(now, at)]), heads: None, hold: HOLD_MIN }
    }

    /// The watermark, as it was last told.
    pub fn at(&self) -> Pos {
        self.at
    }

    /// Which feed it follows.
    pub fn input(&self) -> Input {
        match self.on {
            On::Carrier { .. } => Input::Carrier,
            On::Log { .. } => Input::Log,
        }
    }

    /// Whether the log is to be fetched: also for a moment after the switch back, for what was only counted.
    pub fn reads_log(&self) -> bool {
        match self.on {
            On::Carrier { bridge, .. } => self.at < bridge,
            On::Log { .. } => true,
        }
    }

    /// Whether records of the carrier are to be kept for applying.
    pub fn keeps_records(&self) -> bool {
        self.input() == Input::Carrier
    }

    /// The carrier brought a record of the history that is read here.
    pub fn brought(&mut self, pos: Pos) {
        self.counted = self.counted.max(pos);
    }

    /// The watermark moved on.
    pub fn advanced(&mut self, at: Pos, now: Instant) {
        if at <= self.at {
            return;
        }
        self.at = at;
        self.sample(now);
        self.heads = match self.heads {
            Some((oldest, _)) if oldest.head > at => self.heads,
            Some((_, newest)) if newest.head > at => Some((newest, newest)),
            _ => None,
        };
    }

    /// The source's lane ends at `head`.
    pub fn learnt(&mut self, head: Pos, now: Instant) {
        if head <= self.at {
            return;
        }
        let learnt = Learnt { head, since: now };
        self.heads = match self.heads {
            None => Some((learnt, learnt)),
            Some((oldest, newest)) if head > newest.head => Some((oldest, learnt)),
            known => known,
        };
    }

    /// A newer epoch was entered, and the watermark is `at` now: what was known of positions beyond it is void.
    pub fn entered(&mut self, at: Pos, now: Instant) {
        self.at = at;
        self.counted = self.counted.min(at);
        self.heads = None;
        for (_, pos) in &mut self.past {
            *pos = at.min(*pos);
        }
        self.sample(now);
        match &mut self.on {
            On::Carrier { gap, bridge, .. } => {
                *gap = None;
                *bridge = at.min(*bridge);
            }
            On::Log { from, .. } => *from = at.min(*from),
        }
    }

    /// Looks whether the lane changes its feed, given what is in hand.
    pub fn look(&mut self, hand: Hand, now: Instant) -> Option<Switch> {
        self.forget_past(now);
        match &mut self.on {
            On::Carrier { since, gap, bridge } => {
                if now.saturating_duration_since(*since) >= HOLD_FORGOTTEN {
                    self.hold = HOLD_MIN;
                }
                if hand == Hand::Applicable || self.at < *bridge {
                    *gap = None;
                    return None;
                }
                *gap = (hand == Hand::Gap).then(|| gap.unwrap_or(now));
                let gap = gap.is_some_and(|since| reached(since, GAP_MAX, now));
                let behind = self.heads.is_some_and(|(oldest, _)| reached(oldest.since, HEAD_AGE, now));
                if (!gap && !behind) || mutation::made(Mutation::NoHeads) {
                    return None;
                }
                self.on = On::Log { from: self.at, until: now + self.hold };
                self.hold = (self.hold * 2).min(HOLD_MAX);
                Some(if gap { Switch::Gap } else { Switch::Behind })
            }
            On::Log { from, until } => {
                let leads =
                    self.counted > *from && self.past.front().is_none_or(|(_, pos)| self.counted >= *pos);
                if !leads || now < *until {
                    return None;
                }
                self.on = On::Carrier { since: now, gap: None, bridge: self.counted };
                Some(Switch::Leads)
            }
        }
    }

    /// When time alone may change what [`LaneInput::look`] says; `None` when only an arrival can.
    pub fn next_look(&self) -> Option<Instant> {
        match self.on {
            On::Carrier { bridge, .. } if self.at < bridge => None,
            On::Carrier { gap, .. } => {
                let gap = gap.map(|since| since + GAP_MAX);
                let behind = self.heads.map(|(oldest, _)| oldest.since + HEAD_AGE);
                gap.into_iter().chain(behind).min()
            }
            On::Log { from, until } => (self.counted > from).then_some(until),
        }
    }

    fn sample(&mut self, now: Instant) {
        match self.past.back_mut() {
            Some((since, pos)) if now.saturating_duration_since(*since) < SAMPLE => *pos = self.at,
            _ => self.past.push_back((now, self.at)),
        }
        self.forget_past(now);
    }

    /// Drops samples until the first is the one that held [`LEAD`] ago.
    fn forget_past(&mut self, now: Instant) {
        while self.past.get(1).is_some_and(|(since, _)| reached(*since, LEAD, now)) {
            self.past.pop_front();
        }
    }
}

fn reached(since: Instant, span: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) >= span
}

#[cfg(test)]
mod tests;
