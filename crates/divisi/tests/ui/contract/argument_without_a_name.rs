use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy(&self, cx: &Context, (item, note): (String, String)) -> Answer<u32>;
}

fn main() {}
