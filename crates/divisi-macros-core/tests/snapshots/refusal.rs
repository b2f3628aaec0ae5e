#[derive(
    ::core::clone::Clone,
    ::core::fmt::Debug,
    ::core::cmp::PartialEq,
    ::divisi::private::serde::Serialize,
    ::divisi::private::serde::Deserialize,
    ::divisi::private::schemars::JsonSchema
)]
#[serde(crate = ":: divisi :: private :: serde")]
#[schemars(crate = ":: divisi :: private :: schemars")]
/// Why a comment was not added.
pub enum AddRefused {
    NoSuchPost(PostId),
    TooMany { limit: u32, window: u32 },
    Invalid(Invalid),
}
impl ::core::fmt::Display for AddRefused {
    fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Self::NoSuchPost { 0: _0, .. } => {
                ::core::write!(formatter, "no post has the id {_0}")
            }
            Self::TooMany { limit, .. } => {
                ::core::write!(formatter, "at most {limit} a minute")
            }
            Self::Invalid { .. } => ::core::write!(formatter, "it breaks a rule"),
        }
    }
}
impl ::core::error::Error for AddRefused {}
impl ::divisi::private::contract::Refusal for AddRefused {
    fn specs() -> ::std::vec::Vec<::divisi::private::contract::RefusalSpec> {
        ::std::vec![
            ::divisi::private::contract::RefusalSpec { code :
            ::std::string::String::from("no-such-post"), status : 404, message :
            ::std::string::String::from("no post has the id {0}"), },
            ::divisi::private::contract::RefusalSpec { code :
            ::std::string::String::from("too-many"), status : 429, message :
            ::std::string::String::from("at most {limit} a minute"), },
            ::divisi::private::contract::RefusalSpec { code :
            ::std::string::String::from("invalid"), status : 422, message :
            ::std::string::String::from("it breaks a rule"), },
        ]
    }
    fn code(&self) -> &'static str {
        match self {
            Self::NoSuchPost { .. } => "no-such-post",
            Self::TooMany { .. } => "too-many",
            Self::Invalid { .. } => "invalid",
        }
    }
    fn status(&self) -> u16 {
        match self {
            Self::NoSuchPost { .. } => 404,
            Self::TooMany { .. } => 429,
            Self::Invalid { .. } => 422,
        }
    }
    fn errors(&self) -> &[::divisi::private::contract::FieldError] {
        match self {
            Self::Invalid(invalid) => &invalid.errors,
            _ => &[],
        }
    }
}
impl ::core::convert::From<Invalid> for AddRefused {
    fn from(inner: Invalid) -> Self {
        Self::Invalid(inner)
    }
}
