::core::compile_error! {
    "an event names its key, like `#[event(topic = \"comments\", key = \"post\")]`: events of one topic with the same key stay in order"
}
struct CommentCreated {
    id: u64,
}
