use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy(&self, cx: &Context, item: Box<dyn Send>) -> Answer<Self>;
    async fn sell(&self, cx: &Context, item: Vec<Self>) -> Answer<u32>;
}

fn main() {}
