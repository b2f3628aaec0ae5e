use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    #[post("/shop", status = 404)]
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
}

fn main() {}
