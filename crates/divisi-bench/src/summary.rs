//! What several rounds come to: a median, and how far it may be trusted.

use serde::{Deserialize, Serialize};

/// The middle of some rounds, and the least and the most of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// The middle; the mean of the two in the middle of an even number.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The most.
    pub(crate) max: f64,
}

impl Summary {
    /// Of these rounds. Of none at all everything is not a number, which is no aim reached.
    pub(crate) fn of(rounds: &[f64]) -> Summary {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Summary { median: f64::NAN, min: f64::NAN, max: f64::NAN };
        };
        let upper = sorted.len() / 2;
        let lower = (sorted.len() - 1) / 2;
        Summary { median: (sorted[lower] + sorted[upper]) / 2.0, min, max }
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]), Summary { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }

    #[test]
    fn no_rounds_are_not_a_number() {
        assert!(Summary::of(&[]).median.is_nan());
    }
}
