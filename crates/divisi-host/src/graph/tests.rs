use std::borrow::Cow;

use divisi_contract::Event;
use divisi_contract::event::EventSpec;
use divisi_events::{Failure, Fold};
use divisi_store::Tx;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Graph;
use crate::service::{Projection, Service};

macro_rules! events {
    ($($name:ident)*) => {$(
        #[derive(Debug, Serialize, Deserialize, JsonSchema)]
        struct $name {}

        impl Event for $name {
            const NAME: &'static str = stringify!($name);
            const TOPIC: &'static str = "letters";
            const VERSION: u32 = 1;

            fn key(&self) -> Cow<'_, str> {
                Cow::Borrowed("key")
            }

            fn spec() -> EventSpec {
                EventSpec {
                    name: Self::NAME.to_owned(),
                    topic: Self::TOPIC.to_owned(),
                    version: Self::VERSION,
                    key: "key".to_owned(),
                    docs: String::new(),
                    schema: schemars::schema_for!(Self).into(),
                }
            }
        }
    )*};
}

events! { Sent Burnt }

async fn reads(_: &mut Tx, _: &Sent) -> Result<(), Failure> {
    Ok(())
}

async fn reads_again(_: &mut Tx, _: &Sent) -> Result<(), Failure> {
    Ok(())
}

async fn mourns(_: &mut Tx, _: &Burnt) -> Result<(), Failure> {
    Ok(())
}

async fn folds(_: &mut Fold<'_>, _: &Burnt) -> Result<(), Failure> {
    Ok(())
}

fn post() -> Service {
    Service::new("post").emits::<Sent>()
}

/// All that is wrong with these services.
fn mistakes(services: impl IntoIterator<Item = Service>) -> Vec<String> {
    Graph::new(services.into_iter().collect()).err().map_or_else(Vec::new, |mistakes| mistakes.0)
}

#[test]
fn services_that_fit_together_are_a_graph() {
    let desk = Service::new("desk").on(reads).projection(Projection::new("letters", 1));
    assert_eq!(mistakes([post(), desk]), [""; 0]);
}

#[test]
fn an_event_that_its_owner_does_not_announce_is_named() {
    let by_reaction = mistakes([post(), Service::new("desk").on(mourns)]);
    let by_projection =
        mistakes([post(), Service::new("desk").projection(Projection::new("letters", 1).on(folds))]);
    for mistakes in [by_reaction, by_projection] {
        let [mistake] = &mistakes[..] else { panic!("one mistake: {mistakes:?}") };
        for word in ["`desk`", "`Burnt`", "`post` does not announce", ".emits::<Burnt>()"] {
            assert!(mistake.contains(word), "{mistake}");
        }
    }
}

#[test]
fn a_second_handler_of_an_event_is_named() {
    let mistakes = mistakes([post(), Service::new("desk").on(reads).on(reads_again)]);
    let [mistake] = &mistakes[..] else { panic!("one mistake: {mistakes:?}") };
    assert!(mistake.contains("`desk` has two handlers of `Sent`"), "{mistake}");
}

#[test]
fn projections_are_told_apart_by_names_that_a_file_can_have() {
    let desk = Service::new("desk")
        .projection(Projection::new("letters", 1))
        .projection(Projection::new("letters", 1))
        .projection(Projection::new("../letters", 1));
    let mistakes = mistakes([post(), desk]);
    let [twice, bad] = &mistakes[..] else { panic!("two mistakes: {mistakes:?}") };
    assert!(twice.contains("two projections of `desk` are called `letters`"), "{twice}");
    assert!(bad.contains("`../letters` is no name"), "{bad}");
}
