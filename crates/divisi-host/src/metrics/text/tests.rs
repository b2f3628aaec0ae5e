use super::*;

#[test]
fn figures_of_one_metric_stand_together_behind_what_it_is() {
    let figures = [
        Figure::new(names::PARKED_KEYS, &[("consumer", "query.posts"), ("state", "dead")], 2),
        Figure::new(names::CALLS_SERVED, &[], 7),
        Figure::new(names::PARKED_KEYS, &[("consumer", "comments"), ("state", "dead")], 0),
        Figure::new("of_a_newer_process", &[], 1),
    ];
    assert_eq!(
        of(&figures),
        "# HELP divisi_parked_keys Parked keys, by state; the dead ones wait for an operator.\n\
         # TYPE divisi_parked_keys gauge\n\
         divisi_parked_keys{consumer=\"query.posts\",state=\"dead\"} 2\n\
         divisi_parked_keys{consumer=\"comments\",state=\"dead\"} 0\n\
         # HELP divisi_calls_served_total Calls from other processes that were answered.\n\
         # TYPE divisi_calls_served_total counter\n\
         divisi_calls_served_total 7\n"
    );
}

#[test]
fn what_would_end_a_label_is_escaped() {
    let figure = Figure::new(names::SERVICE_UP, &[("service", "a\"b\\c\nd")], 1);
    assert!(of(&[figure]).ends_with("divisi_service_up{service=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

#[test]
fn names_say_their_type() {
    for (name, kind, help) in names::ALL {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert!(name.starts_with("divisi_") && help.ends_with('.') && !help.contains('\n'), "{name}");
    }
}
