//! Validates custom resources against their schema, in the words of Kubernetes' OpenAPI validation.

use object::value::str_at;
use object::{Cause, CauseType, Value, json, names};

use super::structural::{Bound, Structural};
use super::{Custom, rules};
use crate::resource::Resource;

/// No more is reported of one object.
const MAX_CAUSES: usize = 100;

/// What is wrong with an object. What is as it was in `old` is not held against it.
///
/// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting>
pub fn object(resource: &Resource, custom: &Custom, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut wrong = |field: &str, said: &str, wanted: String| {
        if said != wanted {
            causes.push(Cause::invalid(field, &json!(said), &format!("must be {wanted}")));
        }
    };
    wrong("kind", str_at(object, &["kind"]), resource.kind.kind.to_string());
    wrong("apiVersion", str_at(object, &["apiVersion"]), resource.kind.api_version());
    let mut check = Check::new("");
    check.causes = causes;
    check.value(&custom.schema, object, old, "");
    if let Some(scale) = &custom.scale {
        check.scale(scale, object);
    }
    check.causes.truncate(MAX_CAUSES);
    check.causes
}

/// What is wrong with an object whose status changed.
pub fn status(custom: &Custom, object: &Value, old: &Value) -> Vec<Cause> {
    let mut check = Check::new("status");
    if let (Some(schema), Some(status)) = (custom.schema.properties.get("status"), object.get("status")) {
        check.value(schema, status, old.get("status"), "");
    }
    if let Some(scale) = &custom.scale {
        check.scale(scale, object);
    }
    check.causes.truncate(MAX_CAUSES);
    check.causes
}

/// What is wrong with a value against a schema on its own, as for defaults. `field` is where it stands.
pub fn value(schema: &Structural, value: &Value, field: &str) -> Vec<Cause> {
    let mut check = Check::new(field);
    check.value(schema, value, None, "");
    check.causes
}

struct Check {
    causes: Vec<Cause>,
    /// Field that stands before all paths; messages do not name it.
    prefix: String,
    /// What is left for rules.
    budget: u64,
}

impl Check {
    fn new(prefix: &str) -> Self {
        Check { causes: Vec::new(), prefix: prefix.to_owned(), budget: rules::BUDGET }
    }

    fn field(&self, path: &str) -> String {
        match (self.prefix.as_str(), path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        }
    }

    fn invalid(&mut self, path: &str, value: &Value, why: &str) {
        let cause = Cause::invalid(self.field(path), value, &format!("{path} in body {why}"));
        self.causes.push(cause);
    }

    fn value(&mut self, schema: &Structural, value: &Value, old: Option<&Value>, path: &str) {
        if self.causes.len() > MAX_CAUSES || value.is_null() && schema.nullable || old == Some(value) {
            return;
        }
        if !self.has_type(schema, value, path) {
            return;
        }
        self.combined(schema, value, path);
        match value {
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or_default(), value, path),
            Value::Array(list) => self.list(schema, list, old, path),
            Value::Object(_) => self.object(schema, value, old, path),
            Value::Bool(_) | Value::Null => {}
        }
        if !schema.rules.choices.is_empty() && !schema.rules.choices.contains(value) {
            let choices: Vec<String> = schema.rules.choices.iter().map(shown).collect();
            let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
            self.causes.push(Cause::not_supported(self.field(path), value, &choices));
        }
        let field = self.field(path);
        let found = rules::judge(schema, value, old, &field, &mut self.budget);
        self.causes.extend(found);
    }

    /// Checks the type; what has another type is looked at no further.
    fn has_type(&mut self, schema: &Structural, value: &Value, path: &str) -> bool {
        let found = type_of(value);
        let fits = match schema.kind.as_str() {
            _ if schema.int_or_string => matches!(found, "integer" | "string"),
            "" => true,
            "number" => matches!(found, "integer" | "number"),
            kind => kind == found,
        };
        if !fits {
            let wanted = if schema.int_or_string { "integer,string" } else { &schema.kind };
            let mut cause =
                Cause::invalid(self.field(path), &json!(found), &format!("{path} in body must be of type {wanted}: {found:?}"));
            cause.reason = CauseType::TypeInvalid;
            self.causes.push(cause);
        }
        fits
    }

    fn text(&mut self, schema: &Structural, text: &str, path: &str) {
        let rules = &schema.rules;
        let length = text.chars().count() as u64;
        if let Some(most) = rules.max_length.filter(|most| length > *most) {
            self.causes.push(Cause::too_long(self.field(path), usize::try_from(most).unwrap_or(usize::MAX)));
        }
        if let Some(least) = rules.min_length.filter(|least| length < *least) {
            self.invalid(path, &json!(text), &format!("should be at least {least} chars long"));
        }
        if let Some(pattern) = &rules.pattern
            && pattern.regex.as_ref().is_some_and(|regex| !regex.is_match(text))
        {
            self.invalid(path, &json!(text), &format!("should match '{}'", pattern.source));
        }
        if let Some(format) = rules.format.filter(|format| !format.matches(text)) {
            let name = format.name();
            let mut cause =
                Cause::invalid(self.field(path), &json!(text), &format!("{path} in body must be of type {name}: {text:?}"));
            cause.reason = CauseType::TypeInvalid;
            self.causes.push(cause);
        }
    }

    fn number(&mut self, schema: &Structural, number: f64, value: &Value, path: &str) {
        let rules = &schema.rules;
        let outside = |bound: Bound, beyond: bool| beyond || bound.exclusive && number == bound.value;
        if let Some(most) = rules.maximum.filter(|most| outside(*most, number > most.value)) {
            let than = if most.exclusive { "less than" } else { "less than or equal to" };
            self.invalid(path, value, &format!("should be {than} {}", plain(most.value)));
        }
        if let Some(least) = rules.minimum.filter(|least| outside(*least, number < least.value)) {
            let than = if least.exclusive { "greater than" } else { "greater than or equal to" };
            self.invalid(path, value, &format!("should be {than} {}", plain(least.value)));
        }
        if let Some(step) = rules.multiple_of
            && (number / step).fract() != 0.0
        {
            self.invalid(path, value, &format!("should be a multiple of {}", plain(step)));
        }
    }

    fn list(&mut self, schema: &Structural, list: &[Value], old: Option<&Value>, path: &str) {
        if let Some(items) = &schema.items {
            // Only items with keys can be told to be the same as before.
            let keys = |value: &Value| schema.map_keys.iter().map(|key| value.get(key).cloned()).collect::<Vec<_>>();
            let old = old.and_then(Value::as_array).filter(|_| schema.list_type == "map");
            for (at, value) in list.iter().enumerate() {
                let before = old.and_then(|old| old.iter().find(|there| keys(there) == keys(value)));
                self.value(items, value, before, &format!("{path}[{at}]"));
            }
        }
        let length = list.len() as u64;
        if let Some(least) = schema.rules.min_items.filter(|least| length < *least) {
            self.invalid(path, &json!(length), &format!("should have at least {least} items"));
        }
        if let Some(most) = schema.rules.max_items.filter(|most| length > *most) {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            self.causes.push(Cause::too_many(self.field(path), list.len(), most));
        }
        self.unique(schema, list, path);
    }

    /// Sets hold each value once, maps each combination of keys.
    fn unique(&mut self, schema: &Structural, list: &[Value], path: &str) {
        let mut seen = std::collections::BTreeSet::new();
        for (at, value) in list.iter().enumerate() {
            let key = match schema.list_type.as_str() {
                "set" => value.clone(),
                "map" => schema.map_keys.iter().map(|key| (key.clone(), value.get(key).cloned().unwrap_or_default())).collect(),
                _ => return,
            };
            if !seen.insert(key.to_string()) {
                self.causes.push(Cause::duplicate(self.field(&format!("{path}[{at}]")), &key));
            }
        }
    }

    fn object(&mut self, schema: &Structural, value: &Value, old: Option<&Value>, path: &str) {
        let Some(map) = value.as_object() else { return };
        let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let size = map.len() as u64;
        if let Some(least) = schema.rules.min_properties.filter(|least| size < *least) {
            self.invalid(path, &json!(size), &format!("should have at least {least} properties"));
        }
        if let Some(most) = schema.rules.max_properties.filter(|most| size > *most) {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            self.causes.push(Cause::too_many(self.field(path), map.len(), most));
        }
        for name in schema.rules.required.iter().filter(|name| !map.contains_key(*name)) {
            let field = self.field(&below(name));
            self.causes.push(Cause::required(field, ""));
        }
        if schema.embedded {
            self.embedded(value, path);
        }
        for (name, value) in map {
            // The object's own kind, version and metadata are not the schema's business.
            let is_header = matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
            if is_header && (schema.embedded || path.is_empty() && self.prefix.is_empty()) {
                if name == "metadata"
                    && let Some(metadata) = schema.properties.get(name)
                {
                    self.value(metadata, value, old.and_then(|old| old.get(name)), &below(name));
                }
                continue;
            }
            if let Some(schema) = schema.member(name) {
                self.value(schema, value, old.and_then(|old| old.get(name)), &below(name));
            }
        }
    }

    /// A whole object inside another names its kind and version.
    fn embedded(&mut self, value: &Value, path: &str) {
        let field = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for name in ["apiVersion", "kind"] {
            if str_at(value, &[name]).is_empty() {
                let field = self.field(&field(name));
                self.causes.push(Cause::required(field, ""));
            }
        }
        let kind = str_at(value, &["kind"]).to_lowercase();
        for why in if kind.is_empty() { Vec::new() } else { names::dns1035_label(&kind) } {
            let field = self.field(&field("kind"));
            let why = format!("may have mixed case, but should otherwise match: {why}");
            self.causes.push(Cause::invalid(field, &json!(str_at(value, &["kind"])), &why));
        }
    }

    /// `allOf`, `anyOf`, `oneOf` and `not`. Messages of these name no field of their own.
    fn combined(&mut self, schema: &Structural, value: &Value, path: &str) {
        let rules = &schema.rules;
        let failures = |schema: &Structural| {
            let mut check = Check::new(&self.prefix);
            check.value(schema, value, None, path);
            check.causes
        };
        let mut found = Vec::new();
        let general = |why: String| Cause::invalid("<nil>", &json!(""), &format!("{path:?} {why}"));
        let fewest = |all: Vec<Vec<Cause>>| all.into_iter().min_by_key(Vec::len).unwrap_or_default();
        if !rules.any_of.is_empty() {
            let all: Vec<Vec<Cause>> = rules.any_of.iter().map(failures).collect();
            if all.iter().all(|causes| !causes.is_empty()) {
                found.push(general("must validate at least one schema (anyOf)".to_owned()));
                found.extend(fewest(all));
            }
        }
        if !rules.one_of.is_empty() {
            let all: Vec<Vec<Cause>> = rules.one_of.iter().map(failures).collect();
            let valid = all.iter().filter(|causes| causes.is_empty()).count();
            if valid != 1 {
                let how = if valid == 0 { "Found none valid".to_owned() } else { format!("Found {valid} valid alternatives") };
                found.push(general(format!("must validate one and only one schema (oneOf). {how}")));
                if valid == 0 {
                    found.extend(fewest(all));
                }
            }
        }
        if !rules.all_of.is_empty() {
            let all: Vec<Cause> = rules.all_of.iter().flat_map(failures).collect();
            if !all.is_empty() {
                found.push(general("must validate all the schemas (allOf)".to_owned()));
                found.extend(all);
            }
        }
        if let Some(not) = &rules.not
            && failures(not).is_empty()
        {
            found.push(general("must not validate the schema (not)".to_owned()));
        }
        self.causes.extend(found);
    }

    /// The numbers of a scale subresource are numbers, and not negative.
    fn scale(&mut self, scale: &super::Scale, object: &Value) {
        for path in [&scale.spec_replicas, &scale.status_replicas] {
            let shown = format!(".{}", path.join("."));
            let steps: Vec<&str> = path.iter().map(String::as_str).collect();
            match object::value::at(object, &steps) {
                None | Some(Value::Null) => {}
                Some(value) => match value.as_i64() {
                    Some(number) if number < 0 => {
                        self.causes.push(Cause::invalid(&shown, value, "should be a non-negative integer"));
                    }
                    Some(number) if number > i64::from(i32::MAX) => {
                        let why = format!("should be less than or equal to {}", i32::MAX);
                        self.causes.push(Cause::invalid(&shown, value, &why));
                    }
                    Some(_) => {}
                    None => {
                        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        let what = object::patch::go_type_name(value);
                        let why = format!("{shown} accessor error: {text} is of the type {what}, expected int64");
                        self.causes.push(Cause::invalid(&shown, &json!(0), &why));
                    }
                },
            }
        }
    }
}

/// The OpenAPI type of a value.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|n| n.fract() == 0.0) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A choice as it is listed: texts without quotes, for the list puts its own.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A number without needless digits.
fn plain(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 { format!("{}", number as i64) } else { number.to_string() }
}
