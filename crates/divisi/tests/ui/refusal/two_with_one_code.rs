#[divisi::refusal]
#[allow(non_camel_case_types)]
enum No {
    #[refuse(404, "no")]
    NoSuch,
    #[refuse(404, "no")]
    No_such,
}

fn main() {}
