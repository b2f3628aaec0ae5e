use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    #[get("/shop/{item}")]
    #[get("/shop")]
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
    #[put("/till")]
    #[delete("/till")]
    async fn sell(&self, cx: &Context, item: String) -> Answer<u32>;
}

fn main() {}
