use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    #[call(keyed, idempotent)]
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
    #[get("/shop", keyed)]
    async fn sell(&self, cx: &Context, item: String) -> Answer<u32>;
    #[call(keyed, keyed)]
    async fn lend(&self, cx: &Context, item: String) -> Answer<u32>;
}

fn main() {}
