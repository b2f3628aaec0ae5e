use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy(cx: &Context, item: String) -> Answer<u32>;
    async fn sell(&mut self, cx: &Context) -> Answer<u32>;
    async fn throw(self, cx: &Context) -> Answer<u32>;
}

fn main() {}
