use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn serve(&self, cx: &Context, item: String) -> Answer<u32>;
}

fn main() {}
