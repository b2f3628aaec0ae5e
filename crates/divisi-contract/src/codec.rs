//! Values to bytes and back: the one place to change the encoding of calls.
//!
//! MessagePack with field names: a type may gain fields, and an older peer still reads it.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes could not become a value, or a value bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value has a shape that the encoding cannot carry.
    #[error("cannot encode `{type_name}`")]
    Encode {
        /// The Rust type.
        type_name: &'static str,
        /// What the encoder said.
        source: rmp_serde::encode::Error,
    },
    /// The bytes are not this type, or not all of them are.
    #[error("cannot decode `{type_name}`")]
    Decode {
        /// The Rust type.
        type_name: &'static str,
        /// What the decoder said.
        source: rmp_serde::decode::Error,
    },
}

/// A value as bytes.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CodecError> {
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|source| CodecError::Encode { type_name: std::any::type_name::<T>(), source })
}

/// Bytes as a value. Fields that the type does not know are passed over.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    rmp_serde::from_slice(bytes)
        .map_err(|source| CodecError::Decode { type_name: std::any::type_name::<T>(), source })
}

/// A hash of encoded arguments, by which a reused idempotency key is told from a repeated call.
pub fn fingerprint(arguments: &[u8]) -> [u8; 16] {
    xxhash_rust::xxh3::xxh3_128(arguments).to_be_bytes()
}
