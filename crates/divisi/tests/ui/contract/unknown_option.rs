use divisi::{Answer, Context};

#[divisi::contract(verison = 2, name = "Shop", version = 0)]
trait Shop {
    #[get("/shop", cached)]
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
    #[call(status = 201)]
    async fn sell(&self, cx: &Context, item: String) -> Answer<u32>;
}

fn main() {}
