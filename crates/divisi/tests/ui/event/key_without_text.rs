#[divisi::event(topic = "shop", key = "item")]
struct Sold {
    item: Vec<u8>,
}

fn main() {}
