use divisi_contract::event::LANES;
use divisi_store::Lane;

use super::{GROUPS, LaneSet};

#[test]
fn the_groups_are_all_lanes_and_none_twice() {
    for lane in (0..LANES).map(Lane) {
        let groups = (0..GROUPS).filter(|group| LaneSet::NONE.with_group(*group).has(lane)).count();
        assert_eq!(groups, 1, "lane {lane}");
        assert!(LaneSet::ALL.has(lane) && !LaneSet::NONE.has(lane));
    }
    let all = (0..GROUPS).fold(LaneSet::NONE, LaneSet::with_group);
    assert_eq!(all, LaneSet::ALL);
    assert!(!LaneSet::ALL.has(Lane(LANES)), "no topic has that one");
}
