#[divisi::event(topic = "shop", key = "item")]
enum Sold {
    One { item: String },
}

fn main() {}
