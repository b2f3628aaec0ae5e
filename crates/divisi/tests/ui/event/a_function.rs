#[divisi::event(topic = "shop", key = "item")]
fn sold() {}

fn main() {}
