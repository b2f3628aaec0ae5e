use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    #[post("/shop/{id}")]
    fn buy(&self, item: &str, note: String) -> u32;
    #[post("/shop/{id}")]
    async fn sell<T>(cx: &Context, item: T) -> Answer<u32> { todo!() }
}

fn main() {}
