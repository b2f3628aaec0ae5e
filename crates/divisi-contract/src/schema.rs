//! The shape of arguments, answers and events, as JSON Schema.

use schemars::JsonSchema;
use serde_json::Value;

/// JSON Schema (2020-12) of `T`.
pub fn of<T: JsonSchema>() -> Value {
    schemars::SchemaGenerator::default().into_root_schema_for::<T>().to_value()
}
