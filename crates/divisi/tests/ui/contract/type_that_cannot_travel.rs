use divisi::{Answer, Context};

struct Item;

#[divisi::contract]
trait Shop {
    async fn buy(&self, cx: &Context, item: Item) -> Answer<u32>;
}

fn main() {}
