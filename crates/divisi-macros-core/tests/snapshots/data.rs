#[derive(
    ::core::fmt::Debug,
    ::core::cmp::PartialEq,
    crate::private::serde::Serialize,
    crate::private::serde::Deserialize,
    crate::private::schemars::JsonSchema
)]
#[serde(crate = "crate :: private :: serde")]
#[schemars(crate = "crate :: private :: schemars")]
#[derive(Copy, Clone, Eq)]
struct PostId(u64);
