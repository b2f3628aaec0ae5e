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

    let (mut direct, mut called) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        for round in 0..=ROUNDS {
            let start = Instant::now();
            for _ in 0..CALLS {
                black_box(Shop::sell(&*service, black_box(&cx), black_box(Order::light())).await).ok();
            }
            let middle = Instant::now();
            for _ in 0..CALLS {
                black_box(shop.sell(black_box(&cx), black_box(Order::light())).await).ok();
            }
            // The first round warms up.
            if round > 0 {
                direct.push((middle - start).as_nanos() as f64 / f64::from(CALLS));
                called.push(middle.elapsed().as_nanos() as f64 / f64::from(CALLS));
            }
        }
    });
    let above: Vec<f64> = called.iter().zip(&direct).map(|(called, direct)| called - direct).collect();
    report.condition(format!(
        "in process: {ROUNDS} rounds in turn of {CALLS} calls of a method that is ready at once"
    ));
    report.figure("in process, the trait itself", "ns", &direct);
    report.figure("in process, through the client, with a deadline", "ns", &called);
    report.judge("in process, above a direct call", "ns", &above, Aim::AtMost(100.0));
    Ok(())
}
