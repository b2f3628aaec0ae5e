#[divisi::refusal]
enum No {}

fn main() {}
