use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    #[cfg(test)]
    async fn buy(&self, cx: &Context, item: String) -> Answer<u32>;
}

fn main() {}
