#[derive(
    ::core::fmt::Debug,
    ::core::cmp::PartialEq,
    ::divisi::private::serde::Deserialize,
    ::divisi::private::schemars::JsonSchema
)]
#[serde(crate = ":: divisi :: private :: serde")]
#[schemars(crate = ":: divisi :: private :: schemars")]
/// A comment was added.
#[derive(Clone, serde::Serialize)]
pub struct CommentCreated {
    pub id: CommentId,
    pub post: PostId,
}
impl ::divisi::private::contract::Event for CommentCreated {
    const NAME: &'static str = "CommentCreated";
    const TOPIC: &'static str = "comments";
    const VERSION: u32 = 2u32;
    fn key(&self) -> ::std::borrow::Cow<'_, str> {
        ::std::borrow::Cow::Owned(::std::string::ToString::to_string(&self.post))
    }
    fn spec() -> ::divisi::private::contract::EventSpec {
        ::divisi::private::contract::EventSpec {
            name: ::std::string::String::from("CommentCreated"),
            topic: ::std::string::String::from("comments"),
            version: 2u32,
            key: ::std::string::String::from("post"),
            docs: ::std::string::String::from("A comment was added."),
            schema: ::divisi::private::contract::schema::of::<Self>(),
        }
    }
}
