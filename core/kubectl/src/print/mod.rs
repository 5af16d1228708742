//! Output: aligned columns, and objects as YAML, JSON, names, JSONPath and custom columns.

pub(crate) mod columns;
pub(crate) mod objects;
