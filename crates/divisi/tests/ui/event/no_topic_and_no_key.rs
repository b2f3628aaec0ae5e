#[divisi::event]
struct Sold {
    item: String,
}

fn main() {}
