use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy(&self, item: String) -> Answer<u32>;
    async fn sell(&self, item: String, cx: &Context) -> Answer<u32>;
    async fn throw(&self, cx: Context) -> Answer<u32>;
}

fn main() {}
