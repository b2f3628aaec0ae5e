use divisi::{Answer, Context};

#[divisi::contract]
trait Shop {
    async fn buy(&self, cx: &Context) -> u32;
    async fn sell(&self, cx: &Context) -> Result<u32, String>;
    async fn throw(&self, cx: &Context);
    async fn lend(&self, cx: &Context) -> Answer;
}

fn main() {}
