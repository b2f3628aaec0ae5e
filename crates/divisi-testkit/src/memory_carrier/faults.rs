//! What a carrier does wrong.

use std::time::Duration;

/// What a [`MemoryCarrier`](super::MemoryCarrier) does wrong. Chances are between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// The chance that a record does not arrive; its publisher is told that it was not acknowledged.
    pub lost: f64,
    /// The chance that a record is stored and its acknowledgement does not arrive.
    pub unacknowledged: f64,
    /// The chance that a record is stored twice.
    pub repeated: f64,
    /// The chance that a record is stored before the one that was stored last, in whatever batch.
    pub reordered: f64,
    /// The chance, a record, that the lane's tail is forgotten, acknowledged or not.
    pub forgotten: f64,
    /// How many records are forgotten at once, at the most.
    pub forgotten_most: usize,
    /// The chance that a reader gets a record again, with all that follow it.
    pub replayed: f64,
    /// The least time between two deliveries to one reader.
    pub drip: Option<Duration>,
    /// It is up for so long, then down for so long, and so on.
    pub flap: Option<Duration>,
    /// It cannot tell what it holds at the end of a lane.
    pub headless: bool,
    /// It refuses relays whose fence is below one that it has seen; without this zombies publish freely.
    pub fences: bool,
}

impl Faults {
    /// None: as good as a carrier can be.
    pub const NONE: Faults = Faults {
        lost: 0.0,
        unacknowledged: 0.0,
        repeated: 0.0,
        reordered: 0.0,
        forgotten: 0.0,
        forgotten_most: 0,
        replayed: 0.0,
        drip: None,
        flap: None,
        headless: false,
        fences: true,
    };

    /// A bad day: a tenth of everything goes wrong, and nobody is fenced.
    pub const BAD_DAY: Faults = Faults {
        lost: 0.1,
        unacknowledged: 0.1,
        repeated: 0.05,
        reordered: 0.05,
        forgotten: 0.02,
        forgotten_most: 4,
        replayed: 0.02,
        drip: None,
        flap: None,
        headless: false,
        fences: false,
    };

    /// Whether a carrier that flaps is down, so long after its birth.
    pub(super) fn down_at(&self, age: Duration) -> bool {
        self.flap.is_some_and(|span| !span.is_zero() && (age.as_nanos() / span.as_nanos()) % 2 == 1)
    }

    /// When it goes up or down next, so long after its birth.
    pub(super) fn flaps_after(&self, age: Duration) -> Option<Duration> {
        let span = self.flap.filter(|span| !span.is_zero())?;
        let within = Duration::from_nanos(u64::try_from(age.as_nanos() % span.as_nanos()).unwrap_or(0));
        Some(span.saturating_sub(within))
    }
}

impl Default for Faults {
    fn default() -> Faults {
        Faults::NONE
    }
}
