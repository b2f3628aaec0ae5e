//! What a call to a service in the same process costs above a direct call of its trait.
//!
//! `cargo bench -p divisi --bench local_call` prints nanoseconds a call, the best of several rounds.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use divisi::call::{Client, Place, Route};
use divisi::contract::Deadline;
use divisi::{Answer, Context};

const ROUNDS: usize = 15;
const CALLS: u32 = 100_000;

/// An argument with ten fields.
#[divisi::data]
struct Order {
    id: u64,
    customer: u64,
    item: String,
    count: u32,
    price: u64,
    currency: String,
    note: Option<String>,
    express: bool,
    lines: Vec<u32>,
    weight: f64,
}

#[divisi::contract]
trait Shop {
    /// Sells.
    async fn sell(&self, cx: &Context, order: Order) -> Answer<u64>;
}

struct Service;

impl Shop for Service {
    async fn sell(&self, _cx: &Context, order: Order) -> Answer<u64> {
        Ok(black_box(order).price)
    }
}

fn order() -> Order {
    Order {
        id: 1,
        customer: 2,
        item: String::new(),
        count: 3,
        price: 4,
        currency: String::new(),
        note: None,
        express: true,
        lines: Vec::new(),
        weight: 0.5,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let service = Arc::new(Service);
    let route = Route::new("shop");
    route.lead_to(Place::Local(vec![ShopClient::serve(Arc::clone(&service), None)]));
    let shop = ShopClient::over("bench".into(), route);
    let deadline = Deadline::after(Instant::now(), Duration::from_secs(3_600));

    for (name, cx) in [
        ("without a deadline", Context::root("bench")),
        ("with a deadline", Context::root("bench").with_deadline(deadline)),
    ] {
        let (mut direct, mut called) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for _ in 0..CALLS {
                black_box(Shop::sell(&*service, black_box(&cx), black_box(order())).await).ok();
            }
            direct = direct.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
            let start = Instant::now();
            for _ in 0..CALLS {
                black_box(shop.sell(black_box(&cx), black_box(order())).await).ok();
            }
            called = called.min(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
        }
        println!(
            "{name}: direct {direct:.1} ns, through the client {called:.1} ns, above {:.1} ns",
            called - direct
        );
    }
}
