#[divisi::refusal]
enum No {
    #[refuse(500, "no")]
    Never,
    #[refuse(200, "yes")]
    Always,
}

fn main() {}
