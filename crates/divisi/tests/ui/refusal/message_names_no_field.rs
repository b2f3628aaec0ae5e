#[divisi::refusal]
enum No {
    #[refuse(404, "not {what}")]
    Never,
    #[refuse(404, "not {1}")]
    Nowhere(String),
    #[refuse(404, "not {who}")]
    Nobody { name: String },
}

fn main() {}
