use divisi::{Answer, Context};

use std::rc::Rc;

#[divisi::contract]
trait Shop {
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
}

struct Service;

impl Shop for Service {
    async fn buy(&self, _cx: &Context, item: String) -> Answer<u32> {
        let shared = Rc::new(item);
        std::future::ready(()).await;
        Ok(shared.len() as u32)
    }
}

fn main() {}
