#[divisi::refusal]
struct No;

fn main() {}
