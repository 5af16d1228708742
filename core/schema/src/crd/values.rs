//! What a structural schema does to values: undeclared fields go, defaults come.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning>

use object::Value;

use super::structural::Structural;

/// Removes what the schema does not declare; returns the paths of what was removed.
pub fn prune(schema: &Structural, object: &mut Value) -> Vec<String> {
    let mut gone = Vec::new();
    prune_at(schema, object, true, &mut Path::Root, &mut gone);
    gone
}

/// Where a value stands; made into text only when something is reported.
enum Path<'p> {
    Root,
    Field(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl Path<'_> {
    fn text(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Field(Path::Root, name) => (*name).to_owned(),
            Path::Field(above, name) => format!("{}.{name}", above.text()),
            Path::Item(above, at) => format!("{}[{at}]", above.text()),
        }
    }
}

fn prune_at(schema: &Structural, value: &mut Value, whole: bool, path: &mut Path<'_>, gone: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            // An embedded object has kind, version and metadata without saying so.
            let implied = |key: &str| (whole || schema.embedded) && matches!(key, "apiVersion" | "kind" | "metadata");
            let keys: Vec<String> = map.keys().cloned().collect();
            for key in keys {
                let mut at = Path::Field(path, &key);
                match schema.member(&key) {
                    _ if implied(&key) => {}
                    Some(below) => {
                        if let Some(value) = map.get_mut(&key) {
                            prune_at(below, value, false, &mut at, gone);
                        }
                    }
                    None if schema.preserve_unknown => {}
                    None => {
                        gone.push(at.text());
                        map.remove(&key);
                    }
                }
            }
            if schema.embedded
                && let Some(metadata) = map.get_mut("metadata")
            {
                prune_metadata(metadata, &Path::Field(path, "metadata"), gone);
            }
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for (at, value) in list.iter_mut().enumerate() {
                prune_at(items, value, false, &mut Path::Item(path, at), gone);
            }
        }
        _ => {}
    }
}

/// The fields of `metav1.ObjectMeta`.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

fn prune_metadata(metadata: &mut Value, path: &Path<'_>, gone: &mut Vec<String>) {
    let Some(map) = metadata.as_object_mut() else { return };
    map.retain(|key, _| {
        let known = METADATA.contains(&key.as_str());
        if !known {
            gone.push(Path::Field(path, key).text());
        }
        known
    });
}

/// Sets what is absent; a null becomes the default where it is no value of its own.
pub fn default(schema: &Structural, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, below) in &schema.properties {
                let Some(default) = &below.default else { continue };
                let unset = |value: &Value| value.is_null() && !below.nullable;
                if map.get(name).is_none_or(unset) {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in map.iter_mut() {
                if let Some(below) = schema.member(name) {
                    default_member(below, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = &schema.items {
                list.iter_mut().for_each(|value| default_member(items, value));
            }
        }
        _ => {}
    }
}

fn default_member(schema: &Structural, value: &mut Value) {
    if value.is_null()
        && !schema.nullable
        && let Some(default) = &schema.default
    {
        *value = default.clone();
    }
    default(schema, value);
}
