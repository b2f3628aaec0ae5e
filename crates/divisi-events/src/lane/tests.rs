//! The rules of the two states as tables, and at random against their plain wording.

use std::time::{Duration, Instant};

use divisi_store::Pos;

use super::*;

/// What happens to a lane, at a time in milliseconds.
#[derive(Clone, Copy)]
enum Step {
    Brought(i64),
    Advanced(i64),
    Learnt(i64),
    Entered(i64),
    Look(Hand, Option<Switch>),
}
use Hand::{Applicable, Empty, Gap};
use Step::{Advanced, Brought, Entered, Learnt, Look};

#[track_caller]
fn check(at: i64, hinted: bool, steps: &[(u64, Step)]) -> LaneInput {
    let start = Instant::now();
    let mut lane = LaneInput::new(Pos(at), hinted, start);
    for (n, (ms, step)) in steps.iter().enumerate() {
        let now = start + Duration::from_millis(*ms);
        match *step {
            Brought(pos) => lane.brought(Pos(pos)),
            Advanced(pos) => lane.advanced(Pos(pos), now),
            Learnt(pos) => lane.learnt(Pos(pos), now),
            Entered(pos) => lane.entered(Pos(pos), now),
            Look(hand, expected) => {
                assert_eq!(lane.look(hand, now), expected, "step {n} at {ms} ms: {lane:?}")
            }
        }
    }
    lane
}

#[test]
fn a_lane_with_a_hint_starts_on_the_carrier_and_one_without_on_the_log() {
    assert_eq!(check(7, true, &[]).input(), Input::Carrier);
    assert_eq!(check(7, false, &[]).input(), Input::Log);
}

#[test]
fn a_gap_sends_a_lane_to_the_log_after_200_ms_and_not_before() {
    check(2, true, &[(0, Look(Gap, None)), (199, Look(Gap, None)), (200, Look(Gap, Some(Switch::Gap)))]);
}

#[test]
fn a_gap_that_is_filled_in_time_sends_nobody_anywhere() {
    let filled = [(0, Look(Gap, None)), (150, Look(Applicable, None)), (260, Look(Gap, None))];
    check(2, true, &[&filled[..], &[(459, Look(Gap, None)), (460, Look(Gap, Some(Switch::Gap)))]].concat());
}

#[test]
fn a_head_that_is_not_reached_within_a_second_sends_a_lane_to_the_log() {
    check(2, true, &[(0, Learnt(3)), (999, Look(Empty, None)), (1_000, Look(Empty, Some(Switch::Behind)))]);
    check(2, true, &[(0, Learnt(2)), (5_000, Look(Empty, None))]);
    check(2, true, &[(0, Learnt(3)), (900, Advanced(3)), (5_000, Look(Empty, None))]);
    check(2, true, &[(0, Learnt(3)), (1_500, Look(Applicable, None))]);
}

#[test]
fn each_head_has_a_second_of_its_own() {
    let steps = [(0, Learnt(3)), (800, Learnt(9)), (900, Advanced(3)), (1_700, Look(Empty, None))];
    check(2, true, &[&steps[..], &[(1_800, Look(Empty, Some(Switch::Behind)))]].concat());
}

#[test]
fn a_carrier_that_drips_is_left_though_it_brings_something_all_the_time() {
    let drip = [(0, Learnt(100)), (400, Advanced(3)), (800, Advanced(4))];
    check(2, true, &[&drip[..], &[(1_000, Look(Empty, Some(Switch::Behind)))]].concat());
}

#[test]
fn a_lane_comes_back_when_the_carrier_leads_and_the_hold_time_is_over() {
    let fell = [(0, Look(Gap, None)), (200, Look(Gap, Some(Switch::Gap)))];
    let back = [(300, Advanced(5)), (400, Brought(6)), (5_199, Look(Empty, None))];
    let lane = check(2, true, &[&fell[..], &back, &[(5_200, Look(Empty, Some(Switch::Leads)))]].concat());
    assert!(lane.reads_log(), "6 was only counted: the log must bring it");
    assert!(lane.keeps_records());
    let mut lane = lane;
    lane.advanced(Pos(6), Instant::now() + Duration::from_secs(60));
    assert!(!lane.reads_log());
}

#[test]
fn a_carrier_that_trails_does_not_get_its_lane_back() {
    let fell = [(0, Look(Gap, None)), (200, Look(Gap, Some(Switch::Gap)))];
    // Nothing beyond the position at the switch.
    check(5, true, &[&fell[..], &[(300, Brought(5)), (9_000, Look(Empty, None))]].concat());
    // Beyond it, but behind the watermark of 200 ms ago.
    let trails = [(300, Brought(7)), (5_000, Advanced(8)), (5_300, Look(Empty, None))];
    check(5, true, &[&fell[..], &trails].concat());
    // Behind the watermark of now alone: that is latency, not a lag.
    let close = [(300, Brought(7)), (5_000, Advanced(7)), (5_250, Advanced(8))];
    check(5, true, &[&fell[..], &close, &[(5_300, Look(Empty, Some(Switch::Leads)))]].concat());
}

#[test]
fn a_lane_without_a_hint_waits_for_the_carrier_to_lead_too() {
    check(
        0,
        false,
        &[(100, Brought(1)), (4_999, Look(Empty, None)), (5_000, Look(Empty, Some(Switch::Leads)))],
    );
    check(0, false, &[(100, Advanced(1)), (60_000, Look(Empty, None))]);
}

#[test]
fn the_hold_time_doubles_up_to_five_minutes_and_is_forgotten_after_ten_on_the_carrier() {
    let start = Instant::now();
    let mut now = start;
    let mut lane = LaneInput::new(Pos(1), true, now);
    let fall = |lane: &mut LaneInput, now: &mut Instant| {
        lane.look(Gap, *now);
        *now += GAP_MAX;
        assert_eq!(lane.look(Gap, *now), Some(Switch::Gap));
        let at = lane.at.next();
        lane.brought(at);
        let until = lane.next_look().expect("a counted lane comes back by time alone");
        let held = until - *now;
        *now = until;
        assert_eq!(lane.look(Empty, *now), Some(Switch::Leads));
        lane.advanced(at, *now);
        held.as_secs()
    };
    let held: Vec<u64> = (0..8).map(|_| fall(&mut lane, &mut now)).collect();
    assert_eq!(held, [5, 10, 20, 40, 80, 160, 300, 300]);
    now += HOLD_FORGOTTEN;
    lane.look(Empty, now);
    assert_eq!(fall(&mut lane, &mut now), 5);
}

#[test]
fn entering_an_epoch_voids_what_was_known_beyond_its_fork() {
    // Heads and gaps of the other history.
    check(9, true, &[(0, Learnt(12)), (500, Entered(4)), (3_000, Look(Empty, None))]);
    // What the carrier had counted.
    let fell = [(0, Look(Gap, None)), (200, Look(Gap, Some(Switch::Gap))), (300, Brought(12))];
    let lane = check(9, true, &[&fell[..], &[(400, Entered(4)), (9_000, Look(Empty, None))]].concat());
    assert_eq!(lane.next_look(), None);
}

/// The rules in their plain wording, with everything remembered.
struct Plain {
    carrier: bool,
    at: i64,
    counted: i64,
    watermarks: Vec<(u64, i64)>,
    heads: Vec<(u64, i64)>,
    gap: Option<u64>,
    bridge: i64,
    from: i64,
    until: u64,
    hold: u64,
    since: u64,
}

impl Plain {
    fn look(&mut self, hand: Hand, now: u64) -> Option<Switch> {
        if !self.carrier {
            let ago = self.watermarks.iter().rev().find(|(at, _)| at + 200 <= now).map_or(0, |(_, pos)| *pos);
            if self.counted > self.from && self.counted >= ago && now >= self.until {
                self.carrier = true;
                self.since = now;
                self.gap = None;
                self.bridge = self.counted;
                return Some(Switch::Leads);
            }
            return None;
        }
        if now >= self.since + 600_000 {
            self.hold = 5_000;
        }
        if hand == Applicable || self.at < self.bridge {
            self.gap = None;
            return None;
        }
        self.gap = if hand == Gap { self.gap.or(Some(now)) } else { None };
        let gap = self.gap.is_some_and(|since| since + 200 <= now);
        let behind = self.heads.iter().any(|(at, head)| at + 1_000 <= now && *head > self.at);
        if !gap && !behind {
            return None;
        }
        self.carrier = false;
        self.from = self.at;
        self.until = now + self.hold;
        self.hold = (self.hold * 2).min(300_000);
        Some(if gap { Switch::Gap } else { Switch::Behind })
    }
}

#[test]
fn at_random_the_machine_does_what_the_rules_say() {
    let mut switches = [0_u32; 3];
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let start = Instant::now();
        let hinted = random.bool();
        let mut lane = LaneInput::new(Pos(0), hinted, start);
        let mut plain = Plain {
            carrier: hinted,
            at: 0,
            counted: 0,
            watermarks: vec![(0, 0)],
            heads: Vec::new(),
            gap: None,
            bridge: 0,
            from: 0,
            until: 5_000,
            hold: 5_000,
            since: 0,
        };
        let mut ms = 0;
        for step in 0..200 {
            // In steps of samples, so that the plain rules need not know of sampling.
            let most = [3, 12, 60, 2_000][random.usize(0..4)];
            ms += 20 * random.u64(1..most);
            let now = start + Duration::from_millis(ms);
            match random.u8(0..10) {
                0..3 => {
                    plain.at += random.i64(1..4);
                    plain.watermarks.push((ms, plain.at));
                    lane.advanced(Pos(plain.at), now);
                }
                3..5 => {
                    let pos = (plain.at + random.i64(-2..4)).max(1);
                    plain.counted = plain.counted.max(pos);
                    lane.brought(Pos(pos));
                }
                5..7 => {
                    // Heads of one epoch never go back.
                    let last = plain.heads.last().map_or(0, |(_, head)| *head);
                    let head = last.max(plain.at + random.i64(0..4));
                    if head > last && head > plain.at {
                        // The machine keeps the oldest and the newest: of those between, the plain rules keep none.
                        plain.heads.retain(|(_, head)| *head > plain.at);
                        plain.heads.truncate(1);
                        plain.heads.push((ms, head));
                    }
                    lane.learnt(Pos(head), now);
                }
                _ => {}
            }
            let hand = [Empty, Applicable, Gap, Gap, Empty][random.usize(0..5)];
            let expected = plain.look(hand, ms);
            assert_eq!(lane.look(hand, now), expected, "seed {seed} step {step} at {ms} ms: {lane:?}");
            assert_eq!(lane.input() == Input::Carrier, plain.carrier);
            assert_eq!(lane.reads_log(), !plain.carrier || plain.at < plain.bridge);
            match expected {
                Some(Switch::Gap) => switches[0] += 1,
                Some(Switch::Behind) => switches[1] += 1,
                Some(Switch::Leads) => switches[2] += 1,
                None => {}
            }
        }
        assert!(lane.past.len() <= 12, "what is remembered is bounded");
    }
    assert!(switches.iter().all(|n| *n > 500), "every switch was tried: {switches:?}");
}
