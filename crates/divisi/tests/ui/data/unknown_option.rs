#[divisi::data(crat = divisi)]
struct Thing;

fn main() {}
