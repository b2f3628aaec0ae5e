use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    #[post("/shop")]
    async fn buy(&self, cx: &Context, item: String, note: String) -> Answer<u32>;
}

fn main() {}
