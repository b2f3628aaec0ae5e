use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy_1(&self, cx: &Context, item: String) -> Answer<u32>;
    async fn buy1(&self, cx: &Context, item: String) -> Answer<u32>;
}

fn main() {}
