//! Custom resources: a CustomResourceDefinition's structural schema becomes a [`Resource`] like any other, and what the
//! schema says of values (pruning, defaults, validation) is done from it.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>

mod declare;
mod decode;
mod definition;
mod definition_schema;
mod format;
mod rule_check;
mod rules;
mod serve;
mod structural;
mod types;
mod validate;
mod values;

use std::sync::Arc;

use object::Value;
use object::value::str_at;

pub use decode::{from_slice, from_value, relabel};
pub use definition::{validate_create, validate_update};
pub use serve::{Definition, resources, version_order};
pub use structural::Structural;
pub use validate::{object as validate_object, status as validate_status};
pub use values::{default, prune};

/// What only custom resources have.
#[derive(Clone, Debug)]
pub struct Custom {
    /// The schema of this version.
    pub schema: Arc<Structural>,
    /// The schema of the version in which objects are kept.
    pub storage: Arc<Structural>,
    /// What clients of this version are told.
    pub deprecation: Option<String>,
    /// Where the scale subresource finds its numbers.
    pub scale: Option<Scale>,
    /// The JSONPath of each column after the name, in the order of the columns.
    pub column_paths: Vec<String>,
    /// Fields that selectors may ask for, by JSONPath.
    pub selectable: Vec<String>,
    /// The version's schema as it was written, for documents.
    pub written: Value,
    /// The webhook that converts between versions (`spec.conversion.webhook`); without one only `apiVersion` differs.
    pub conversion: Option<Arc<Value>>,
    /// Whether objects may be kept in versions other than today's storage version.
    pub mixed: bool,
    /// Whether objects may have been kept under a schema that was another one then.
    pub changed: bool,
}

impl Custom {
    /// Whether objects of this version can be given out as they are kept.
    pub fn is_as_stored(&self, resource: &crate::Resource) -> bool {
        resource.kind == resource.storage.kind && !self.mixed && !self.changed
    }

    /// Makes a kept object what it is by today's schema of its version: without what is not declared any more, and with
    /// defaults that came later. True if that made a difference.
    pub fn refresh(&self, resource: &crate::Resource, kept: &mut Value) -> bool {
        let version = str_at(kept, &["apiVersion"]);
        let schema = match version {
            _ if !self.changed => return false,
            _ if version == resource.kind.api_version() => &self.schema,
            _ if version == resource.storage.kind.api_version() => &self.storage,
            _ => return false,
        };
        let before = kept.clone();
        prune(schema, kept);
        default(schema, kept);
        *kept != before
    }
}

/// `subresources.scale`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// Path of the wanted number.
    pub spec_replicas: Vec<String>,
    /// Path of the actual number.
    pub status_replicas: Vec<String>,
    /// Path of the label selector as text; empty for none.
    pub label_selector: Vec<String>,
}

/// The steps of a simple JSONPath: `.spec.replicas`.
pub(crate) fn simple_path(path: &str) -> Option<Vec<String>> {
    let steps: Vec<String> = path.strip_prefix('.')?.split('.').map(str::to_owned).collect();
    let plain = |step: &String| !step.is_empty() && step.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    steps.iter().all(plain).then_some(steps)
}
