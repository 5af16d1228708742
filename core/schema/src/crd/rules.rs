//! `x-kubernetes-validations`: rules in CEL.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules>

use std::sync::Arc;

use cel::{Activation, Program, Value as CelValue};
use object::value::{at, bool_at, list_at, str_at};
use object::{Cause, CauseType, Value, json};

use super::format::Format;
use super::structural::Structural;

/// What all rules of one object may cost.
pub const BUDGET: u64 = 10_000_000;

/// Where the rules stand.
pub const KEY: &str = "x-kubernetes-validations";
const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    program: Program,
    message: String,
    message_program: Option<Program>,
    reason: String,
    field_path: String,
    optional_old: bool,
}

/// The rules of a schema that was accepted.
pub fn read(schema: &Value) -> Vec<Rule> {
    list_at(schema, &[KEY]).iter().filter_map(rule).collect()
}

fn rule(rule: &Value) -> Option<Rule> {
    let source = str_at(rule, &["rule"]).trim();
    let message = match str_at(rule, &["message"]) {
        "" => format!("failed rule: {}", source.replace('\n', " ")),
        said => said.trim().to_owned(),
    };
    Some(Rule {
        program: Program::compile(source, &["self", "oldSelf"]).ok()?,
        message,
        message_program: Program::compile(str_at(rule, &["messageExpression"]), &["self", "oldSelf"]).ok(),
        reason: str_at(rule, &["reason"]).to_owned(),
        field_path: str_at(rule, &["fieldPath"]).to_owned(),
        optional_old: bool_at(rule, &["optionalOldSelf"]),
    })
}

/// What is wrong with how the rules of a definition's schema are written; nothing is said of their expressions.
pub fn check(schema: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (i, rule) in list_at(schema, &[KEY]).iter().enumerate() {
        let field = |key: &str| format!("{path}.{KEY}[{i}].{key}");
        let (source, message) = (str_at(rule, &["rule"]), str_at(rule, &["message"]));
        if source.trim().is_empty() {
            causes.push(Cause::required(field("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            causes.push(Cause::invalid(field("message"), &json!(message), "message must be non-empty if specified"));
        } else if has_line_breaks(message.trim()) {
            causes.push(Cause::invalid(field("message"), &json!(message), "message must not contain line breaks"));
        } else if has_line_breaks(source.trim()) && message.is_empty() {
            causes.push(Cause::required(field("message"), "message must be specified if rule contains line breaks"));
        }
        let expression = str_at(rule, &["messageExpression"]);
        if !expression.is_empty() && expression.trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            causes.push(Cause::required(field("messageExpression"), why));
        }
        let reason = str_at(rule, &["reason"]);
        if !reason.is_empty() && !REASONS.contains(&reason) {
            causes.push(Cause::not_supported(field("reason"), &json!(reason), &REASONS));
        }
        let said = str_at(rule, &["fieldPath"]);
        if !said.is_empty() && said.trim().is_empty() {
            causes.push(Cause::invalid(field("fieldPath"), &json!(said), "fieldPath must be non-empty if specified"));
        }
        if has_line_breaks(said) {
            causes.push(Cause::invalid(field("fieldPath"), &json!(said), "fieldPath must not contain line breaks"));
        }
        if !said.is_empty() && !leads_somewhere(schema, said) {
            causes.push(Cause::invalid(field("fieldPath"), &json!(said), "must be a valid path"));
        }
    }
    causes
}

fn has_line_breaks(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

/// The steps of a field path: `.a['b']`.
fn steps(path: &str) -> Option<Vec<String>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix("['") {
            let (step, tail) = tail.split_once("']")?;
            steps.push(step.to_owned());
            rest = tail;
        } else {
            let tail = rest.strip_prefix('.')?;
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            let (step, tail) = tail.split_at_checked(end)?;
            steps.push(step.to_owned());
            rest = tail;
        }
    }
    steps.iter().all(|step| !step.is_empty()).then_some(steps)
}

fn leads_somewhere(schema: &Value, path: &str) -> bool {
    let Some(steps) = steps(path) else { return false };
    steps
        .iter()
        .try_fold(schema, |schema, step| {
            at(schema, &["properties", step]).or_else(|| at(schema, &["additionalProperties"]).filter(|v| v.is_object()))
        })
        .is_some()
}

/// What the rules of one value say. `old` is what it was, where that can be told.
pub fn judge(schema: &Structural, value: &Value, old: Option<&Value>, field: &str, budget: &mut u64) -> Vec<Cause> {
    let mut causes = Vec::new();
    if schema.cel.is_empty() {
        return causes;
    }
    let this = convert(schema, value);
    let before = old.map(|old| convert(schema, old));
    for rule in &schema.cel {
        let changes = rule.program.uses("oldSelf");
        let mut activation = Activation::new().with("self", this.clone());
        match (&before, rule.optional_old) {
            (before, true) => activation.set("oldSelf", CelValue::Optional(before.clone().map(Arc::new))),
            (Some(before), false) => activation.set("oldSelf", before.clone()),
            // Rules about a change are for changes.
            (None, false) if changes => continue,
            (None, false) => {}
        }
        let held = rule.program.run(&activation, budget);
        if *budget == 0 {
            let why = "validation failed due to running out of cost budget, no further validation rules will be run";
            causes.push(Cause::invalid(field, &json!(schema.kind), why));
            return causes;
        }
        match held {
            Ok(CelValue::Bool(true)) => {}
            Ok(CelValue::Bool(false)) => causes.push(rule.cause(&activation, value, field, budget)),
            Ok(_) => causes.push(Cause::invalid(field, &json!(schema.kind), "rule does not evaluate to a bool")),
            Err(why) => {
                let why = format!("{why} evaluating rule: {}", rule.message);
                causes.push(Cause::invalid(field, &json!(schema.kind), &why));
            }
        }
    }
    causes
}

impl Rule {
    fn cause(&self, activation: &Activation<'_>, value: &Value, field: &str, budget: &mut u64) -> Cause {
        let told = self.message_program.as_ref().and_then(|program| program.run(activation, budget).ok());
        let told =
            told.as_ref().and_then(CelValue::as_str).map(str::trim).filter(|text| !text.is_empty() && !text.contains('\n'));
        let message = told.unwrap_or(&self.message);
        let mut path = field.to_owned();
        for step in steps(&self.field_path).unwrap_or_default() {
            path = if path.is_empty() { step } else { format!("{path}.{step}") };
        }
        match self.reason.as_str() {
            "FieldValueRequired" => Cause::required(path, message),
            "FieldValueForbidden" => Cause::forbidden(path, message),
            "FieldValueDuplicate" => Cause { reason: CauseType::Duplicate, ..invalid(path, value, message) },
            _ => invalid(path, value, message),
        }
    }
}

/// Objects and lists are not quoted.
fn invalid(path: String, value: &Value, message: &str) -> Cause {
    if value.is_object() || value.is_array() {
        return Cause { field: path, reason: CauseType::Invalid, message: format!("Invalid value: {message}") };
    }
    Cause::invalid(path, value, message)
}

/// A value as its schema types it: formats of time are times, `number` is a double.
fn convert(schema: &Structural, value: &Value) -> CelValue {
    match value {
        Value::String(text) => match schema.rules.format {
            Some(Format::DateTime) => object::Time::parse(text)
                .and_then(|time| i64::try_from(time.0).ok())
                .map_or_else(|| CelValue::from(text.as_str()), CelValue::Timestamp),
            Some(Format::Byte) => {
                crate::base64::decode(text).map_or_else(|| CelValue::from(text.as_str()), |bytes| CelValue::Bytes(bytes.into()))
            }
            Some(Format::Duration) => cel::parse_duration(text).map_or_else(|| CelValue::from(text.as_str()), CelValue::Duration),
            _ => CelValue::from(text.as_str()),
        },
        Value::Number(number) if schema.kind == "number" => CelValue::Double(number.as_f64().unwrap_or_default()),
        Value::Array(list) => {
            let anything = Structural::anything();
            let items = schema.items.as_deref().unwrap_or(&anything);
            CelValue::List(Arc::new(list.iter().map(|value| convert(items, value)).collect()))
        }
        Value::Object(map) => {
            let anything = Structural::anything();
            CelValue::map(map.iter().map(|(key, value)| (key.clone(), convert(schema.member(key).unwrap_or(&anything), value))))
        }
        other => CelValue::from_json(other),
    }
}
