#[divisi::refusal]
enum No {
    Never,
}

fn main() {}
