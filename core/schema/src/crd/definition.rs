//! What is wrong with CustomResourceDefinitions themselves (`pkg/apis/apiextensions/validation`).

use object::value::{at, list_at, str_at};
use object::{Cause, Value, json, names};

use super::{definition_schema as schema, simple_path};

/// What is wrong with a new definition, its metadata apart.
pub fn validate_create(definition: &Value) -> Vec<Cause> {
    let mut causes = validate(definition, None);
    if at(definition, &["spec", "preserveUnknownFields"]) == Some(&Value::Bool(true)) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        causes.push(Cause::invalid("spec.preserveUnknownFields", &json!(true), why));
    }
    causes
}

/// What is wrong with a changed definition.
pub fn validate_update(definition: &Value, old: &Value) -> Vec<Cause> {
    let mut causes = validate(definition, Some(old));
    let established = list_at(old, &["status", "conditions"])
        .iter()
        .any(|c| str_at(c, &["type"]) == "Established" && str_at(c, &["status"]) == "True");
    let mut fixed: Vec<&[&str]> = vec![&["spec", "group"], &["spec", "names", "plural"]];
    if established {
        fixed.extend([["spec", "scope"].as_slice(), &["spec", "names", "kind"]]);
    }
    for path in fixed {
        if at(definition, path) != at(old, path) {
            let is = at(definition, path).cloned().unwrap_or_default();
            causes.push(Cause::invalid(path.join("."), &is, "field is immutable"));
        }
    }
    causes
}

fn validate(definition: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (plural, group) = (str_at(definition, &["spec", "names", "plural"]), str_at(definition, &["spec", "group"]));
    let name = str_at(definition, &["metadata", "name"]);
    if name != format!("{plural}.{group}") {
        causes.push(Cause::invalid("metadata.name", &json!(name), "must be spec.names.plural+\".\"+spec.group"));
    }
    let spec = definition.get("spec").cloned().unwrap_or_default();
    check_group(&mut causes, group);
    match str_at(&spec, &["scope"]) {
        "" => causes.push(Cause::required("spec.scope", "")),
        "Cluster" | "Namespaced" => {}
        other => causes.push(Cause::not_supported("spec.scope", &json!(other), &["Cluster", "Namespaced"])),
    }
    versions(&mut causes, &spec);
    check_names(&mut causes, &spec);
    let versions = old.map(|old| list_at(old, &["spec", "versions"])).unwrap_or_default();
    for (path, schema) in schemas(&spec) {
        let stored = versions.iter().any(|version| at(version, &["schema", "openAPIV3Schema"]) == Some(&schema));
        causes.extend(schema::validate(&schema, &path, stored));
    }
    for (path, subresources) in hoisted(&spec, "subresources", "spec.subresources") {
        scale(&mut causes, &subresources, &path);
    }
    for (path, columns) in hoisted(&spec, "additionalPrinterColumns", "spec.additionalPrinterColumns") {
        printer_columns(&mut causes, &columns, &path);
    }
    conversion(&mut causes, &spec);
    stored_versions(&mut causes, definition);
    approval(&mut causes, definition, group);
    causes
}

fn check_group(causes: &mut Vec<Cause>, group: &str) {
    if group.is_empty() {
        causes.push(Cause::required("spec.group", ""));
        return;
    }
    let wrong = names::dns1123_subdomain(group);
    if !wrong.is_empty() {
        causes.push(Cause::invalid("spec.group", &json!(group), &wrong.join(",")));
    } else if !group.contains('.') {
        causes.push(Cause::invalid("spec.group", &json!(group), "should be a domain with at least one dot"));
    }
}

fn versions(causes: &mut Vec<Cause>, spec: &Value) {
    let versions = list_at(spec, &["versions"]);
    let name = |version: &Value| str_at(version, &["name"]).to_owned();
    let label = |causes: &mut Vec<Cause>, field: String, name: &str| {
        let wrong = names::dns1035_label(name);
        if !wrong.is_empty() {
            causes.push(Cause::invalid(field, &json!(name), &wrong.join(",")));
        }
    };
    for (i, version) in versions.iter().enumerate() {
        label(causes, format!("spec.versions[{i}].name"), &name(version));
        let warning = str_at(version, &["deprecationWarning"]);
        let deprecated = at(version, &["deprecated"]) == Some(&Value::Bool(true));
        if !warning.is_empty() && !deprecated {
            let why = "can only be set for deprecated versions";
            causes.push(Cause::invalid(format!("spec.versions[{i}].deprecationWarning"), &json!(warning), why));
        }
        if at(version, &["schema", "openAPIV3Schema"]).is_none() {
            causes.push(Cause::required(format!("spec.versions[{i}].schema.openAPIV3Schema"), ""));
        }
    }
    let names: std::collections::BTreeSet<String> = object::order::set(versions.iter().map(name));
    if names.len() != versions.len() {
        causes.push(Cause::invalid_shown("spec.versions", &go_versions(spec), "must contain unique version names"));
    }
    if versions.iter().filter(|v| at(v, &["storage"]) == Some(&Value::Bool(true))).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid_shown("spec.versions", &go_versions(spec), why));
    }
    // Kubernetes keeps the first version's name in a field of its own, and checks it there once more.
    if let Some(first) = versions.first() {
        label(causes, "spec.version".to_owned(), &name(first));
    }
}

/// Versions as Kubernetes quotes them: its internal type has no JSON names, and holds what all versions share elsewhere.
fn go_versions(spec: &Value) -> String {
    let flag = |version: &Value, key: &str| at(version, &[key]).cloned().unwrap_or(Value::Bool(false));
    let one = |version: &Value| {
        let pairs = [
            ("Name", json!(str_at(version, &["name"]))),
            ("Served", flag(version, "served")),
            ("Storage", flag(version, "storage")),
            ("Deprecated", flag(version, "deprecated")),
            ("DeprecationWarning", at(version, &["deprecationWarning"]).cloned().unwrap_or_default()),
            ("Schema", Value::Null),
            ("Subresources", Value::Null),
            ("AdditionalPrinterColumns", Value::Null),
            ("SelectableFields", Value::Null),
        ];
        // Go writes fields in the order of the struct, so the text is put together here.
        let parts: Vec<String> = pairs.iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
        format!("{{{}}}", parts.join(","))
    };
    let all: Vec<String> = list_at(spec, &["versions"]).iter().map(one).collect();
    format!("[{}]", all.join(","))
}

fn check_names(causes: &mut Vec<Cause>, spec: &Value) {
    let text = |key: &str| str_at(spec, &["names", key]);
    for key in ["plural", "singular", "kind", "listKind"] {
        if text(key).is_empty() {
            causes.push(Cause::required(format!("spec.names.{key}"), ""));
        }
    }
    let mut label = |field: String, said: &str, mixed: bool| {
        let wrong = if mixed { names::dns1035_label(&said.to_lowercase()) } else { names::dns1035_label(said) };
        if !wrong.is_empty() {
            let why = wrong.join(",");
            let why = if mixed { format!("may have mixed case, but should otherwise match: {why}") } else { why };
            causes.push(Cause::invalid(field, &json!(said), &why));
        }
    };
    for (key, mixed) in [("plural", false), ("singular", false), ("kind", true), ("listKind", true)] {
        if !text(key).is_empty() {
            label(format!("spec.names.{key}"), text(key), mixed);
        }
    }
    for list in ["shortNames", "categories"] {
        for (i, name) in list_at(spec, &["names", list]).iter().enumerate() {
            label(format!("spec.names.{list}[{i}]"), name.as_str().unwrap_or_default(), false);
        }
    }
    if !text("kind").is_empty() && text("kind") == text("listKind") {
        causes.push(Cause::invalid("spec.names.listKind", &json!(text("listKind")), "kind and listKind may not be the same"));
    }
}

/// A part of each version with its path. What all versions say alike stands at `shared` for Kubernetes.
fn hoisted(spec: &Value, key: &str, shared: &str) -> Vec<(String, Value)> {
    let versions = list_at(spec, &["versions"]);
    let Some(first) = versions.first() else { return Vec::new() };
    if versions.iter().all(|version| version.get(key) == first.get(key)) {
        return first.get(key).map(|value| (shared.to_owned(), value.clone())).into_iter().collect();
    }
    let each = versions.iter().enumerate();
    each.filter_map(|(i, version)| Some((format!("spec.versions[{i}].{key}"), version.get(key)?.clone()))).collect()
}

/// The schemas with their paths.
fn schemas(spec: &Value) -> Vec<(String, Value)> {
    let all = hoisted(spec, "schema", "spec.validation").into_iter();
    all.filter_map(|(path, schema)| Some((format!("{path}.openAPIV3Schema"), schema.get("openAPIV3Schema")?.clone()))).collect()
}

const SIMPLE_PATH: &str = "must be a simple json path starting with .";

fn scale(causes: &mut Vec<Cause>, subresources: &Value, path: &str) {
    let Some(scale) = subresources.get("scale") else { return };
    for (key, below, optional) in [
        ("specReplicasPath", &[".spec."][..], false),
        ("statusReplicasPath", &[".status."], false),
        ("labelSelectorPath", &[".spec.", ".status."], true),
    ] {
        let field = format!("{path}.scale.{key}");
        let said = str_at(scale, &[key]);
        if said.is_empty() {
            if !optional {
                causes.push(Cause::required(field, ""));
            }
        } else if simple_path(said).is_none() {
            causes.push(Cause::invalid(field, &json!(said), SIMPLE_PATH));
        } else if !below.iter().any(|prefix| said.starts_with(prefix)) {
            let roots: Vec<&str> = below.iter().map(|prefix| prefix.trim_end_matches('.')).collect();
            let either = if roots.len() > 1 { "either " } else { "" };
            let why = format!("should be a json path under {either}{}", roots.join(" or "));
            causes.push(Cause::invalid(field, &json!(said), &why));
        }
    }
}

fn printer_columns(causes: &mut Vec<Cause>, columns: &Value, path: &str) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    for (i, column) in columns.as_array().into_iter().flatten().enumerate() {
        let field = |key: &str| format!("{path}[{i}].{key}");
        let text = |key: &str| str_at(column, &[key]);
        if text("name").is_empty() {
            causes.push(Cause::required(field("name"), ""));
        }
        if text("type").is_empty() {
            causes.push(Cause::required(field("type"), &format!("must be one of {}", TYPES.join(","))));
        } else if !TYPES.contains(&text("type")) {
            let why = format!("must be one of {}", TYPES.join(","));
            causes.push(Cause::invalid(field("type"), &json!(text("type")), &why));
        }
        if !text("format").is_empty() && !FORMATS.contains(&text("format")) {
            let why = format!("must be one of {}", FORMATS.join(","));
            causes.push(Cause::invalid(field("format"), &json!(text("format")), &why));
        }
        let json_path = text("jsonPath");
        if json_path.is_empty() {
            causes.push(Cause::required(field("JSONPath"), ""));
        } else if !json_path.starts_with('.') || object::jsonpath::JsonPath::parse(&format!("{{{json_path}}}")).is_err() {
            causes.push(Cause::invalid(field("JSONPath"), &json!(json_path), SIMPLE_PATH));
        }
    }
}

fn conversion(causes: &mut Vec<Cause>, spec: &Value) {
    match str_at(spec, &["conversion", "strategy"]) {
        "" | "None" => {
            if at(spec, &["conversion", "webhook"]).is_some() {
                let why = "should not be set when strategy is not set to Webhook";
                causes.push(Cause::forbidden("spec.conversion.webhookClientConfig", why));
            }
        }
        "Webhook" => {
            if at(spec, &["conversion", "webhook", "clientConfig"]).is_none() {
                let why = "required when strategy is set to Webhook";
                causes.push(Cause::required("spec.conversion.webhookClientConfig", why));
            }
            let versions = list_at(spec, &["conversion", "webhook", "conversionReviewVersions"]);
            let known = |v: &Value| matches!(v.as_str(), Some("v1" | "v1beta1"));
            if versions.is_empty() {
                causes.push(Cause::required("spec.conversion.conversionReviewVersions", ""));
            } else if !versions.iter().any(known) {
                let why = "must include at least one of v1, v1beta1";
                causes.push(Cause::invalid("spec.conversion.conversionReviewVersions", &json!(versions), why));
            }
        }
        other => causes.push(Cause::not_supported("spec.conversion.strategy", &json!(other), &["None", "Webhook"])),
    }
}

fn stored_versions(causes: &mut Vec<Cause>, definition: &Value) {
    const FIELD: &str = "status.storedVersions";
    let stored = list_at(definition, &["status", "storedVersions"]);
    if stored.is_empty() {
        causes.push(Cause::invalid(FIELD, &Value::Null, "must have at least one stored version"));
        return;
    }
    let versions = list_at(definition, &["spec", "versions"]);
    for (i, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version.get("name") == Some(name)) {
            causes.push(Cause::invalid(format!("{FIELD}[{i}]"), name, "must appear in spec.versions"));
        }
    }
}

/// Groups of Kubernetes' own need somebody's word.
fn approval(causes: &mut Vec<Cause>, definition: &Value, group: &str) {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    let protected = ["k8s.io", "kubernetes.io"].iter().any(|own| group == *own || group.ends_with(&format!(".{own}")));
    if !protected {
        return;
    }
    let field = format!("metadata.annotations[{ANNOTATION}]");
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    match object::meta::annotation(definition, ANNOTATION).unwrap_or_default() {
        "" => {
            let why = format!("protected groups must have approval annotation {ANNOTATION:?}, {see}");
            causes.push(Cause::required(field, &why));
        }
        said if said.starts_with("unapproved") || said.starts_with("https://") || said.starts_with("http://") => {}
        said => {
            let why = format!(
                "protected groups must have approval annotation {ANNOTATION:?} with either a URL or a reason starting with \"unapproved\", {see}"
            );
            causes.push(Cause::invalid(field, &json!(said), &why));
        }
    }
}
