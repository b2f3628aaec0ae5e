#[divisi::event(topic = "shop", key = "item", verison = 2, version = 0)]
struct Sold {
    item: String,
}

fn main() {}
