//! A call in this process, through the generated client, beside a direct call of the trait.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divisi::Context;
use divisi::call::{Client, Place, Route};
use divisi::contract::Deadline;
use tokio::runtime::Runtime;

use super::{Service, Shop, ShopClient};
use crate::order::Order;
use crate::report::{Aim, Report};

const ROUNDS: usize = 21;
const CALLS: u32 = 200_000;

/// Measures it, with a deadline as every call of a service has one.
pub(super) fn measure(runtime: &Runtime, report: &mut Report) -> anyhow::Result<()> {
    let service = Arc::new(Service);
    let route = Route::new("shop");
    route.lead_to(Place::Local(vec![ShopClient::serve(Arc::clone(&service), None)]));
    let shop = ShopClient::over("bench".into(), route);
    let deadline = Deadline::after(Instant::now(), Duration::from_secs(3_600));
    let cx = Context::root("bench").with_deadline(deadline);

    report.condition(format!(
        "in process: {ROUNDS} rounds in turn of {CALLS} calls each of a method that is ready at once, with a record of ten fields as argument"
    ));
    let price = rounds(
        runtime,
        async || {
            black_box(Shop::price(&*service, black_box(&cx), black_box(Order::light())).await).ok();
        },
        async || {
            black_box(shop.price(black_box(&cx), black_box(Order::light())).await).ok();
        },
    );
    let sell = rounds(
        runtime,
        async || {
            black_box(Shop::sell(&*service, black_box(&cx), black_box(Order::light())).await).ok();
        },
        async || {
            black_box(shop.sell(black_box(&cx), black_box(Order::light())).await).ok();
        },
    );
    for (answer, (direct, called)) in [("a number", price), ("the record", sell)] {
        let above: Vec<f64> = called.iter().zip(&direct).map(|(called, direct)| called - direct).collect();
        report.figure(format!("in process, answer is {answer}, the trait itself"), "ns", &direct);
        report.figure(format!("in process, answer is {answer}, through the client"), "ns", &called);
        report.judge(
            format!("in process, answer is {answer}, above a direct call"),
            "ns",
            &above,
            Aim::AtMost(100.0),
        );
    }
    Ok(())
}

/// Nanoseconds a call of each, a value a round.
fn rounds(runtime: &Runtime, direct: impl AsyncFn(), called: impl AsyncFn()) -> (Vec<f64>, Vec<f64>) {
    let (mut direct_took, mut called_took) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        for round in 0..=ROUNDS {
            let start = Instant::now();
            for _ in 0..CALLS {
                direct().await;
            }
            let middle = Instant::now();
            for _ in 0..CALLS {
                called().await;
            }
            // The first round warms up.
            if round > 0 {
                direct_took.push((middle - start).as_nanos() as f64 / f64::from(CALLS));
                called_took.push(middle.elapsed().as_nanos() as f64 / f64::from(CALLS));
            }
        }
    });
    (direct_took, called_took)
}
