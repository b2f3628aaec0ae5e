#[divisi::event(topic = "shop", key = "item")]
struct Sold<T> {
    item: T,
}

fn main() {}
