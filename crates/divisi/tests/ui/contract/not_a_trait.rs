#[divisi::contract]
struct Shop;

fn main() {}
