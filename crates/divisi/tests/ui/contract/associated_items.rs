use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    type Item;
    const LIMIT: u32;
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
}

fn main() {}
