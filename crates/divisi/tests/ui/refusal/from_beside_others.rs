#[divisi::refusal]
enum No {
    #[refuse(404, "no")]
    Never(#[from] String, u32),
}

fn main() {}
