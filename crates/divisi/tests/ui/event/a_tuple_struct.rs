#[divisi::event(topic = "shop", key = "item")]
struct Sold(String);

fn main() {}
