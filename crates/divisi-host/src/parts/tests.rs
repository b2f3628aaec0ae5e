use std::collections::BTreeMap;

use divisi_call::{Client, Route};
use divisi_events::event_log::EventLogClient;

use super::Routes;

#[test]
fn a_client_is_made_only_of_what_the_description_says_is_called() {
    let contract = EventLogClient::contract();
    let served = Routes {
        by_service: BTreeMap::new(),
        by_contract: BTreeMap::from([(contract.name.clone(), Route::new("posts"))]),
    };
    let nothing = Routes { by_service: BTreeMap::new(), by_contract: BTreeMap::new() };
    let shop = "shop".into();
    let mistake = |routes: &Routes, calls: &[_]| routes.described(&shop, calls, &contract.name).err();
    assert_eq!(mistake(&served, &[contract]), None);
    let undescribed = mistake(&served, &[]).expect("it would work in one process alone");
    assert!(undescribed.contains("`shop`") && undescribed.contains(".calls::<"), "{undescribed}");
    let unserved = mistake(&nothing, &[contract]).expect("nobody is there");
    assert!(unserved.contains("no service of this app serves"), "{unserved}");
}
