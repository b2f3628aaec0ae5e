#[divisi::event(topic = "shop", key = "itme")]
struct Sold {
    item: String,
}

fn main() {}
