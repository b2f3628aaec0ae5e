#[divisi::refusal]
enum No {
    #[refuse("no")]
    Never,
    #[refuse(404)]
    Nowhere,
    #[refuse(404, "no", "really")]
    Nobody,
}

fn main() {}
