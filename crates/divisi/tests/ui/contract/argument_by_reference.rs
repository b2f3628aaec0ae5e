use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy(&self, cx: &Context, item: &str) -> Answer<u32>;
    async fn sell(&self, cx: &Context, item: std::borrow::Cow<'_, str>) -> Answer<u32>;
    async fn name(&self, cx: &Context) -> Answer<&'static str>;
}

fn main() {}
