#[divisi::event(topic = "Shop_Floor", key = "item")]
struct Sold {
    item: String,
}

fn main() {}
