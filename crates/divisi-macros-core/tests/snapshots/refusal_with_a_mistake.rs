::core::compile_error! {
    "the status of a refusal is from 400 to 499: it is about the request, not about trouble of the service"
}
enum No {
    Never,
}
