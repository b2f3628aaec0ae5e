use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    #[get("/shop/{itme}")]
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
    #[get("/shop/{id}/{id}")]
    async fn sell(&self, cx: &Context, id: String) -> Answer<u32>;
    #[get("/till/{it}")]
    async fn count(&self, cx: &Context) -> Answer<u32>;
}

fn main() {}
