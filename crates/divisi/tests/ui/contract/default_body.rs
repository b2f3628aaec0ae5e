use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32> {
        Ok(item.len() as u32)
    }
}

fn main() {}
