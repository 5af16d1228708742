//! The decoded part of `metadata` that every room needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::Time;
use crate::value::{at, str_at};

/// `metadata` as far as machinery reads it; everything else stays in the JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Name; unique in the namespace.
    pub name: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Unique identity over all time.
    pub uid: String,
    /// `resourceVersion` as a number; 0 where it is missing or not a number.
    pub resource_version: u64,
    /// Counts changes of `spec`.
    pub generation: i64,
    /// When the object was created.
    pub creation_timestamp: Option<Time>,
    /// When deletion was asked for; the object lives on while it has finalizers or a grace period.
    pub deletion_timestamp: Option<Time>,
    /// Grace period of the deletion that is under way.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations are kept in the JSON only; see [`annotation`].
    pub finalizers: Vec<String>,
    /// Owners.
    pub owner_references: Vec<OwnerReference>,
}

/// One of `metadata.ownerReferences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// The owner's `apiVersion`.
    pub api_version: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// The owner's uid; an object of the same name with another uid is not the owner.
    pub uid: String,
    /// Whether this owner is the managing controller; at most one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether foreground deletion of the owner waits for this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl ObjectMeta {
    /// Reads `metadata` of `object`. What is missing or of the wrong type is left at its default; the schema has
    /// refused such objects long before.
    pub fn of(object: &Value) -> Self {
        let Some(m) = object.get("metadata") else { return ObjectMeta::default() };
        let text = |key: &str| str_at(m, &[key]).to_owned();
        let time = |key: &str| m.get(key).and_then(Value::as_str).and_then(Time::parse);
        ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: str_at(m, &["resourceVersion"]).parse().unwrap_or(0),
            generation: m.get("generation").and_then(Value::as_i64).unwrap_or(0),
            creation_timestamp: time("creationTimestamp"),
            deletion_timestamp: time("deletionTimestamp"),
            deletion_grace_period_seconds: m.get("deletionGracePeriodSeconds").and_then(Value::as_i64),
            labels: string_map(m.get("labels")),
            finalizers: m
                .get("finalizers")
                .and_then(Value::as_array)
                .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default(),
            owner_references: m
                .get("ownerReferences")
                .and_then(Value::as_array)
                .map(|list| list.iter().filter_map(|o| serde_json::from_value(o.clone()).ok()).collect())
                .unwrap_or_default(),
        }
    }

    /// The owner that manages this object, if one does.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|o| o.controller == Some(true))
    }
}

/// The annotation `key` of `object`.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    at(object, &["metadata", "annotations", key]).and_then(Value::as_str)
}

/// A JSON object of texts as an ordered map; other values are left out.
pub fn string_map(value: Option<&Value>) -> BTreeMap<String, String> {
    value
        .and_then(Value::as_object)
        .map(|map| map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect())
        .unwrap_or_default()
}
