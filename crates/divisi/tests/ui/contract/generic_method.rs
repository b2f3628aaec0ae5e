use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy<T: Send>(&self, cx: &Context, item: T) -> Answer<u32>;
    async fn sell(&self, cx: &Context, item: impl Send) -> Answer<u32>;
}

fn main() {}
