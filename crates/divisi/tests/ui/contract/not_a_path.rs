use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    #[get("shop")]
    async fn buy(&self, cx: &Context) -> Answer<u32>;
    #[get("/shop/{item/x")]
    async fn sell(&self, cx: &Context, item: String) -> Answer<u32>;
    #[get("/shop?x=1")]
    async fn lend(&self, cx: &Context) -> Answer<u32>;
    #[get]
    async fn throw(&self, cx: &Context) -> Answer<u32>;
}

fn main() {}
