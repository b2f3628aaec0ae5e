use divisi::{Answer, Context};

#[divisi::contract]
trait Shop<T> {
    async fn buy(&self, cx: &Context, item: T) -> Answer<u32>;
}

fn main() {}
