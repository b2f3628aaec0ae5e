use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
    async fn buy(&self, cx: &Context) -> Answer<u32>;
}

fn main() {}
