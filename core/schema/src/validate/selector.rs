//! Label selectors and templates that must match them.

use object::selector::LabelSelector;
use object::{Value, meta, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field};

/// `ValidateLabelSelector`.
pub(super) fn label_selector(e: &mut Errors, selector: &Value, path: &Path<'_>) {
    super::metadata::labels(e, field(selector, "matchLabels"), &path.child("matchLabels"));
    let list = path.child("matchExpressions");
    for (i, expression) in items(field(selector, "matchExpressions")).iter().enumerate() {
        let path = list.index(i);
        let values = items(field(expression, "values"));
        match text(field(expression, "operator")) {
            "In" | "NotIn" if values.is_empty() => {
                e.required(&path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                e.forbidden(&path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => e.invalid(&path.child("operator"), field(expression, "operator"), "not a valid selector operator"),
        }
        e.name(&path.child("key"), text(field(expression, "key")), names::qualified_name);
        let list = path.child("values");
        for (i, value) in values.iter().enumerate() {
            e.name(&list.index(i), text(value), names::label_value);
        }
    }
}

/// The selector of a controller, and that its template has the labels it selects.
pub(super) fn with_template(e: &mut Errors, spec: &Value, path: &Path<'_>, whose: &str) -> bool {
    let selector = field(spec, "selector");
    let at = path.child("selector");
    if selector.is_null() {
        e.required(&at, "");
    } else {
        label_selector(e, selector, &at);
        if is_empty(selector) {
            e.invalid(&at, selector, &format!("empty selector is invalid for {whose}"));
        }
    }
    match LabelSelector::from_json(selector) {
        Ok(parsed) => {
            template_matches(e, &parsed, field(spec, "template"), &path.child("template"));
            true
        }
        Err(_) => {
            e.invalid(&at, selector, "invalid label selector");
            false
        }
    }
}

pub(super) fn is_empty(selector: &Value) -> bool {
    let none = |key: &str| match field(selector, key) {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => true,
    };
    none("matchLabels") && none("matchExpressions")
}

/// The labels of a template meet the selector of its controller.
pub(super) fn template_matches(e: &mut Errors, selector: &LabelSelector, template: &Value, path: &Path<'_>) {
    let labels = deep(template, &["metadata", "labels"]);
    if !selector.is_empty() && !selector.matches(&meta::string_map(Some(labels))) {
        let path = path.child("metadata");
        e.invalid(&path.child("labels"), labels, "`selector` does not match template `labels`");
    }
}
