#[divisi::refusal]
enum No {
    #[refuse(404, "no")]
    #[refuse(409, "never")]
    Never,
}

fn main() {}
