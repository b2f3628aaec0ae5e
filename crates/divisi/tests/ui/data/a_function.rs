#[divisi::data]
fn thing() {}

fn main() {}
