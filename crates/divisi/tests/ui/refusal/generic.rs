#[divisi::refusal]
enum No<T> {
    #[refuse(404, "no")]
    Never(T),
}

fn main() {}
