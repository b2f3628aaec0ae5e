//! Values to bytes and back: the one place to change the encoding of calls.
//!
//! MessagePack with field names: a type may gain fields, and an older peer still reads it.

mod depth;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
    /// The bytes are not this type.
    #[error("cannot decode `{type_name}`")]
    Decode {
        /// The Rust type.
        type_name: &'static str,
        /// What the decoder said.
        source: rmp_serde::decode::Error,
    },
    /// The bytes nest too deep, whatever they are.
    #[error("cannot decode `{type_name}`: the bytes nest deeper than {} levels", depth::DEPTH_MAX)]
    TooDeep {
        /// The Rust type.
        type_name: &'static str,
    },
}

/// A value as bytes.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, CodecError> {
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|source| CodecError::Encode { type_name: std::any::type_name::<T>(), source })
}

/// Bytes as a value. Fields that the type does not know are passed over, and so is what follows. Whatever the bytes are, the worst that comes of
/// them is an error: also when they nest without end.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let type_name = std::any::type_name::<T>();
    if !depth::is_shallow(bytes) {
        return Err(CodecError::TooDeep { type_name });
    }
    rmp_serde::from_slice(bytes).map_err(|source| CodecError::Decode { type_name, source })
}

/// A hash of arguments, by which a reused idempotency key is told from a repeated call.
///
/// It looks at what they say and not at their bytes: the fields of a struct and the entries of a map count in any
/// order, and a field that is `None` is like one that is not there, so that a callee that learnt a new optional field
/// still knows the call. A list has its order, so an argument of a keyed method is not a `HashSet`.
pub fn fingerprint<T: Serialize + ?Sized>(arguments: &T) -> Result<[u8; 16], CodecError> {
    let bytes = match serde_json::to_value(arguments) {
        Ok(value) => encode(&canonical(value))?,
        // What JSON has no words for, such as a map whose keys are structs, is told by its bytes.
        Err(_) => encode(arguments)?,
    };
    Ok(xxhash_rust::xxh3::xxh3_128(&bytes).to_be_bytes())
}

/// The value with its maps sorted and without fields that are null.
fn canonical(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(canonical).collect(),
        Value::Object(map) => {
            let fields = map.into_iter().filter(|(_, field)| !field.is_null());
            let sorted: BTreeMap<String, Value> =
                fields.map(|(name, field)| (name, canonical(field))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
