use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    #[get("/shop/{item}")]
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
    #[get("/shop/{thing}")]
    async fn sell(&self, cx: &Context, thing: String) -> Answer<u32>;
}

fn main() {}
