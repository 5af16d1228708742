//! What is wrong with the schema of a definition: it must be valid OpenAPI, and structural.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>

use object::value::{at, list_at, str_at};
use object::{Cause, Value, json};

use super::structural::Structural;
use super::{rule_check, rules, validate as values, values as shaping};

/// Schemas nest no deeper than this.
const MAX_DEPTH: u32 = 100;

/// Where a schema stands in another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

/// All that is wrong with a schema at `path`. Rules of a schema that is stored already were looked at then.
pub fn validate(schema: &Value, path: &str, stored: bool) -> Vec<Cause> {
    let mut check = Check { causes: Vec::new(), unreadable: false };
    let nullable = flag(schema, "nullable");
    if nullable {
        check.causes.push(Cause::forbidden(format!("{path}.nullable"), "nullable cannot be true at the root"));
    }
    check.general(schema, path, 0);
    // What has references is no structural schema at all, and nothing more can be said of it.
    if check.unreadable {
        return check.causes;
    }
    let general = check.causes.len();
    check.structural(schema, Level::Root, path, 0);
    if check.causes.len() == general {
        check.defaults(schema, path, 0);
    }
    if check.causes.len() == general && !nullable && !stored {
        let rules = rule_check::check(schema, path, &check.causes);
        check.causes.extend(rules);
    }
    check.causes
}

struct Check {
    causes: Vec<Cause>,
    unreadable: bool,
}

fn flag(schema: &Value, key: &str) -> bool {
    at(schema, &[key]) == Some(&Value::Bool(true))
}

/// Schemas directly below this one, with their paths.
fn below<'a>(schema: &'a Value, path: &str) -> Vec<(String, &'a Value, Level)> {
    let mut out = Vec::new();
    if let Some(additional) = at(schema, &["additionalProperties"]).filter(|v| v.is_object()) {
        out.push((format!("{path}.additionalProperties"), additional, Level::Field));
    }
    for (name, schema) in at(schema, &["properties"]).and_then(Value::as_object).into_iter().flatten() {
        out.push((format!("{path}.properties[{name}]"), schema, Level::Field));
    }
    if let Some(items) = at(schema, &["items"]).filter(|v| v.is_object()) {
        out.push((format!("{path}.items"), items, Level::Item));
    }
    out
}

/// Schemas that a value must or must not fulfil besides this one.
fn beside<'a>(schema: &'a Value, path: &str) -> Vec<(String, &'a Value)> {
    let mut out = Vec::new();
    for key in ["allOf", "anyOf", "oneOf"] {
        out.extend(list_at(schema, &[key]).iter().enumerate().map(|(i, schema)| (format!("{path}.{key}[{i}]"), schema)));
    }
    if let Some(not) = at(schema, &["not"]).filter(|v| v.is_object()) {
        out.push((format!("{path}.not"), not));
    }
    out
}

impl Check {
    /// What holds for every schema, wherever it stands.
    fn general(&mut self, schema: &Value, path: &str, depth: u32) {
        if depth > MAX_DEPTH {
            self.causes.push(Cause::forbidden(path, "the schema is nested too deeply"));
            self.unreadable = true;
            return;
        }
        let field = |key: &str| format!("{path}.{key}");
        if flag(schema, "uniqueItems") {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.causes.push(Cause::forbidden(field("uniqueItems"), why));
        }
        let has_properties = at(schema, &["properties"]).and_then(Value::as_object).is_some_and(|map| !map.is_empty());
        match at(schema, &["additionalProperties"]) {
            Some(additional) if has_properties && (additional.is_object() || *additional == Value::Bool(false)) => {
                let why = "additionalProperties and properties are mutual exclusive";
                self.causes.push(Cause::forbidden(field("additionalProperties"), why));
            }
            Some(Value::Bool(false)) => {
                let why = "additionalProperties cannot be set to false";
                self.causes.push(Cause::forbidden(field("additionalProperties"), why));
            }
            _ => {}
        }
        for (path, schema, _) in below(schema, path) {
            self.general(schema, &path, depth + 1);
        }
        for (path, schema) in beside(schema, path) {
            self.general(schema, &path, depth + 1);
        }
        for key in ["$ref", "definitions", "dependencies", "patternProperties", "id", "additionalItems"] {
            if at(schema, &[key]).is_some() {
                self.causes.push(Cause::forbidden(field(key), &format!("{key} is not supported")));
                self.unreadable = true;
            }
        }
        if at(schema, &["x-kubernetes-preserve-unknown-fields"]) == Some(&Value::Bool(false)) {
            let why = "must be true or undefined";
            self.causes.push(Cause::invalid(field("x-kubernetes-preserve-unknown-fields"), &json!(false), why));
        }
        const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
        let kind = str_at(schema, &["type"]);
        if !kind.is_empty() && !TYPES.contains(&kind) {
            self.causes.push(Cause::not_supported(field("type"), &json!(kind), &TYPES));
        }
        self.list_type(schema, path);
        self.causes.extend(rules::check(schema, path));
        let map_type = str_at(schema, &["x-kubernetes-map-type"]);
        if !map_type.is_empty() {
            if kind != "object" {
                let why = "must be object if x-kubernetes-map-type is specified";
                self.causes.push(match kind {
                    "" => Cause::required(field("type"), why),
                    _ => Cause::invalid(field("type"), &json!(kind), why),
                });
            }
            if !matches!(map_type, "granular" | "atomic") {
                let known = ["atomic", "granular"];
                self.causes.push(Cause::not_supported(field("x-kubernetes-map-type"), &json!(map_type), &known));
            }
        }
        let pattern = str_at(schema, &["pattern"]);
        if let Some(why) = Some(pattern).filter(|p| !p.is_empty()).and_then(unreadable_pattern) {
            let why = format!("must be a valid regular expression, but isn't: error parsing regexp: {why}");
            self.causes.push(Cause::invalid(field("pattern"), &json!(pattern), &why));
        }
    }

    fn list_type(&mut self, schema: &Value, path: &str) {
        let field = |key: &str| format!("{path}.{key}");
        let (list_type, kind) = (str_at(schema, &["x-kubernetes-list-type"]), str_at(schema, &["type"]));
        let keys = list_at(schema, &["x-kubernetes-list-map-keys"]);
        if !list_type.is_empty() {
            if kind != "array" {
                let why = "must be array if x-kubernetes-list-type is specified";
                self.causes.push(match kind {
                    "" => Cause::required(field("type"), why),
                    _ => Cause::invalid(field("type"), &json!(kind), why),
                });
            }
            if !matches!(list_type, "atomic" | "set" | "map") {
                let known = ["atomic", "map", "set"];
                self.causes.push(Cause::not_supported(field("x-kubernetes-list-type"), &json!(list_type), &known));
            }
        }
        if !keys.is_empty() && list_type != "map" {
            let why = "must be map if x-kubernetes-list-map-keys is non-empty";
            self.causes.push(match list_type {
                "" => Cause::required(field("x-kubernetes-list-type"), why),
                _ => Cause::invalid(field("x-kubernetes-list-type"), &json!(list_type), why),
            });
        }
        if list_type != "map" {
            return;
        }
        if keys.is_empty() {
            let why = "must not be empty if x-kubernetes-list-type is map";
            self.causes.push(Cause::required(field("x-kubernetes-list-map-keys"), why));
        }
        let Some(items) = at(schema, &["items"]) else {
            let why = "must have a schema if x-kubernetes-list-type is map";
            self.causes.push(Cause::required(field("items"), why));
            return;
        };
        if str_at(items, &["type"]) != "object" {
            let why = "must be object if parent array's x-kubernetes-list-type is map";
            self.causes.push(Cause::invalid(field("items.type"), &json!(str_at(items, &["type"])), why));
        }
        for (i, key) in keys.iter().enumerate() {
            let name = key.as_str().unwrap_or_default();
            match at(items, &["properties", name]) {
                None => {
                    let why = "entries must all be names of item properties";
                    self.causes.push(Cause::invalid(format!("{path}.x-kubernetes-list-map-keys[{i}]"), key, why));
                }
                Some(property) => {
                    let required = list_at(items, &["required"]).contains(key);
                    if !required && property.get("default").is_none() {
                        let why =
                            "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                        self.causes.push(Cause::required(format!("{path}.items.properties[{name}].default"), why));
                    }
                }
            }
        }
    }

    /// What makes a schema structural.
    fn structural(&mut self, schema: &Value, level: Level, path: &str, depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        let field = |key: &str| format!("{path}.{key}");
        let kind = str_at(schema, &["type"]);
        if kind == "array" && at(schema, &["items"]).is_none() {
            self.causes.push(Cause::required(field("items"), "must be specified"));
        }
        for (path, schema, level) in below(schema, path) {
            self.structural(schema, level, &path, depth + 1);
        }
        if level == Level::Root && at(schema, &["additionalProperties"]).is_some() {
            self.causes.push(Cause::forbidden(field("additionalProperties"), "must not be used at the root"));
        }
        let (int_or_string, embedded) =
            (flag(schema, "x-kubernetes-int-or-string"), flag(schema, "x-kubernetes-embedded-resource"));
        let preserves = flag(schema, "x-kubernetes-preserve-unknown-fields");
        if int_or_string && !kind.is_empty() {
            let why = "must be empty if x-kubernetes-int-or-string is true";
            self.causes.push(Cause::invalid(field("type"), &json!(kind), why));
        }
        for (path, schema) in beside(schema, path) {
            self.nested(schema, &path, int_or_string, depth + 1);
        }
        if embedded && kind != "object" {
            let why = "must be object if x-kubernetes-embedded-resource is true";
            self.causes.push(match kind {
                "" => Cause::required(field("type"), why),
                _ => Cause::invalid(field("type"), &json!(kind), why),
            });
        } else if kind.is_empty() && !int_or_string && !preserves {
            let why = match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            };
            self.causes.push(Cause::required(field("type"), why));
        }
        if level == Level::Root && !kind.is_empty() && kind != "object" {
            self.causes.push(Cause::invalid(field("type"), &json!(kind), "must be object at the root"));
        }
        let no_properties = at(schema, &["properties"]).and_then(Value::as_object).is_none_or(|map| map.is_empty());
        if embedded && !preserves && no_properties {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            self.causes.push(Cause::required(field("properties"), why));
        }
        if level == Level::Root || embedded {
            self.header(schema, path);
        }
    }

    /// Kind, version and metadata are implied; little may be said of them.
    fn header(&mut self, schema: &Value, path: &str) {
        for key in ["kind", "apiVersion"] {
            let Some(property) = at(schema, &["properties", key]) else { continue };
            if str_at(property, &["type"]) != "string" {
                let kind = json!(str_at(property, &["type"]));
                self.causes.push(Cause::invalid(format!("{path}.properties[{key}].type"), &kind, "must be string"));
            }
        }
        let Some(metadata) = at(schema, &["properties", "metadata"]) else { return };
        let path = format!("{path}.properties[metadata]");
        if str_at(metadata, &["type"]) != "object" {
            let kind = json!(str_at(metadata, &["type"]));
            self.causes.push(Cause::invalid(format!("{path}.type"), &kind, "must be object"));
        }
        let more_keys = metadata
            .as_object()
            .into_iter()
            .flatten()
            .any(|(key, _)| !matches!(key.as_str(), "type" | "properties" | "description" | "title"));
        let properties = at(metadata, &["properties"]).and_then(Value::as_object);
        let more = properties.into_iter().flatten().any(|(key, _)| !matches!(key.as_str(), "name" | "generateName"));
        if more || more_keys {
            let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            self.causes.push(Cause::forbidden(path, why));
        }
    }

    /// Schemas below `allOf` and its like restrict values; they do not describe them.
    fn nested(&mut self, schema: &Value, path: &str, int_or_string: bool, depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        let field = |key: &str| format!("{path}.{key}");
        for key in ["description", "title", "default", "nullable"] {
            if at(schema, &[key]).is_some_and(|value| *value != Value::Bool(false)) {
                self.causes.push(Cause::forbidden(field(key), "must be empty to be structural"));
            }
        }
        if !str_at(schema, &["type"]).is_empty() && !int_or_string {
            self.causes.push(Cause::forbidden(field("type"), "must be empty to be structural"));
        }
        if at(schema, &["additionalProperties"]).is_some() {
            self.causes.push(Cause::forbidden(field("additionalProperties"), "must be undefined to be structural"));
        }
        for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"] {
            if flag(schema, key) {
                self.causes.push(Cause::forbidden(field(key), "must be false to be structural"));
            }
        }
        for (path, schema, _) in below(schema, path) {
            self.nested(schema, &path, int_or_string, depth + 1);
        }
        for (path, schema) in beside(schema, path) {
            self.nested(schema, &path, int_or_string, depth + 1);
        }
    }

    /// Defaults fulfil the schema they belong to.
    fn defaults(&mut self, schema: &Value, path: &str, depth: u32) {
        if depth > MAX_DEPTH {
            return;
        }
        if let Some(default) = at(schema, &["default"]) {
            let field = format!("{path}.default");
            let structural = Structural::read(schema);
            let mut pruned = default.clone();
            if !shaping::prune(&structural, &mut pruned).is_empty() {
                self.causes.push(Cause::invalid(&field, default, "must not have unknown fields"));
            }
            shaping::default(&structural, &mut pruned);
            self.causes.extend(values::value(&structural, &pruned, &field));
        }
        for (path, schema, _) in below(schema, path) {
            self.defaults(schema, &path, depth + 1);
        }
    }
}

/// Why Go could not read this expression.
fn unreadable_pattern(pattern: &str) -> Option<String> {
    regex_lite::Regex::new(pattern).err()?;
    let opened = pattern.matches('(').count() > pattern.matches(')').count();
    let closed = pattern.matches(')').count() > pattern.matches('(').count();
    let what = if opened {
        "missing closing )"
    } else if closed {
        "unexpected )"
    } else if pattern.contains('[') && !pattern.contains(']') {
        "missing closing ]"
    } else {
        "invalid or unsupported Perl syntax"
    };
    Some(format!("{what}: `{pattern}`"))
}
