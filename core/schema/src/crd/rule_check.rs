//! Whether the expressions of a definition's rules fit its schema, and cost no more than they may.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules>

use cel::{Checked, Decl, Env, Step, Type};
use object::value::{at, list_at, str_at};
use object::{Cause, CauseType, Value, json};

use super::declare::{MOST_REQUEST, declare};
use super::rules::KEY;

/// What one rule may cost on all values of an object to which it applies.
const MOST_OF_RULE: u64 = 10_000_000;

/// What all rules of a schema may cost.
const MOST_OF_SCHEMA: u64 = 100_000_000;

/// Schemas nest no deeper than this.
const MAX_DEPTH: u32 = 100;

/// What is wrong with the expressions of a structural schema. Where the schema itself is `wrong`, nothing is said of them.
pub fn check(schema: &Value, path: &str, wrong: &[Cause]) -> Vec<Cause> {
    let mut check = Check { wrong, causes: Vec::new(), total: 0, expensive: Vec::new() };
    let place = Place { decl: None, times: Some(1), uncorrelated: None, root: true, depth: 0 };
    check.walk(schema, path, &place);
    check.check_total(path);
    check.causes
}

/// Where a schema stands.
#[derive(Clone, Copy)]
struct Place<'p> {
    /// What the rules above see here.
    decl: Option<&'p Decl>,
    /// How many values of one object the schema applies to; `None` where nothing bounds that.
    times: Option<u64>,
    /// The part above in which old values cannot be told from each other.
    uncorrelated: Option<&'p str>,
    root: bool,
    depth: u32,
}

struct Check<'a> {
    wrong: &'a [Cause],
    causes: Vec<Cause>,
    total: u64,
    /// The rules that cost most, by their paths.
    expensive: Vec<(u64, String)>,
}

/// How often the schemas below apply to each value of this one.
fn multiplier(schema: &Value) -> Option<u64> {
    let bound = |key: &str| at(schema, &[key]).and_then(Value::as_i64).map(|n| u64::try_from(n).unwrap_or(0));
    match str_at(schema, &["type"]) {
        "object" if at(schema, &["additionalProperties"]).is_some() => bound("maxProperties"),
        "array" => bound("maxItems"),
        _ => Some(1),
    }
}

/// Whether a field is in the part of the definition at a path.
fn within(field: &str, path: &str) -> bool {
    field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

impl Check<'_> {
    fn walk(&mut self, schema: &Value, path: &str, place: &Place<'_>) {
        if place.depth > MAX_DEPTH {
            return;
        }
        let rules = list_at(schema, &[KEY]);
        let embedded = at(schema, &["x-kubernetes-embedded-resource"]) == Some(&Value::Bool(true));
        let made = match place.decl {
            None if !rules.is_empty() => declare(schema, place.root || embedded, "selfType"),
            _ => None,
        };
        let decl = place.decl.or(made.as_ref());
        let times = place.times.and_then(|times| Some(times.saturating_mul(multiplier(schema)?)));
        let below = |step: Step<'_>| Place {
            decl: decl.and_then(|decl| decl.step(step)),
            times,
            uncorrelated: place.uncorrelated,
            root: false,
            depth: place.depth + 1,
        };
        if let Some(values) = at(schema, &["additionalProperties"]).filter(|v| v.is_object()) {
            self.walk(values, &format!("{path}.additionalProperties"), &below(Step::Element));
        }
        let atomic = str_at(schema, &["x-kubernetes-map-type"]) == "atomic";
        for (name, property) in at(schema, &["properties"]).and_then(Value::as_object).into_iter().flatten() {
            let written = cel::escaped(name).unwrap_or_default();
            let mut inner = below(Step::Field(&written));
            inner.uncorrelated = place.uncorrelated.or(atomic.then_some(path));
            self.walk(property, &format!("{path}.properties[{name}]"), &inner);
        }
        if let Some(items) = at(schema, &["items"]).filter(|v| v.is_object()) {
            let mut inner = below(Step::Element);
            // Items have a name of their own only in lists that are maps.
            let unnamed = str_at(schema, &["x-kubernetes-list-type"]) != "map";
            inner.uncorrelated = place.uncorrelated.or(unnamed.then_some(path));
            self.walk(items, &format!("{path}.items"), &inner);
        }
        if rules.is_empty() || self.wrong.iter().any(|cause| within(&cause.field, path)) {
            return;
        }
        match decl {
            Some(decl) => self.rules(rules, path, decl, place),
            None => {
                let why = "failed to construct type information for x-kubernetes-validations rules";
                let message =
                    format!("Internal error: internal error: {why}: unable to convert structural schema to CEL declarations");
                self.causes.push(Cause { field: format!("{path}.{KEY}"), reason: CauseType::Internal, message });
            }
        }
    }

    fn rules(&mut self, rules: &[Value], path: &str, decl: &Decl, place: &Place<'_>) {
        let env = Env::new().with("self", decl.of.clone());
        let times = place.times.unwrap_or(MOST_REQUEST / (decl.least + 1));
        for (i, rule) in rules.iter().enumerate() {
            let source = str_at(rule, &["rule"]);
            if source.trim().is_empty() {
                continue;
            }
            let optional = at(rule, &["optionalOldSelf"]).filter(|value| !value.is_null());
            let old = if optional == Some(&Value::Bool(true)) { Type::optional(decl.of.clone()) } else { decl.of.clone() };
            let env = env.clone().with("oldSelf", old);
            let at = format!("{path}.{KEY}[{i}]");
            let changes = self.rule(rule, &at, &env, decl, times);
            if changes && let Some(within) = place.uncorrelated {
                let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
                self.causes.push(Cause::invalid(format!("{at}.rule"), &json!(source), &why));
            } else if !changes && let Some(optional) = optional {
                let why = "may not be set if oldSelf is not used in rule";
                self.causes.push(Cause::invalid(format!("{at}.optionalOldSelf"), optional, why));
            }
        }
    }

    /// Looks at one rule and its message; returns whether the rule is about a change.
    fn rule(&mut self, rule: &Value, at: &str, env: &Env, decl: &Decl, times: u64) -> bool {
        let checked = match checked(str_at(rule, &["rule"]), env, &Type::Bool) {
            Ok(checked) => checked,
            Err(why) => {
                self.wrong_rule(rule, format!("{at}.rule"), &why.shown("compilation", "cel expression must evaluate to a bool"));
                return false;
            }
        };
        let cost = checked.cost(decl).saturating_mul(times);
        self.check_cost(format!("{at}.rule"), cost, "estimated rule cost");
        let message = str_at(rule, &["messageExpression"]);
        if !message.is_empty() {
            let field = format!("{at}.messageExpression");
            match self::checked(message, env, &Type::Text) {
                Ok(checked) => self.check_cost(field, checked.cost(decl), "estimated messageExpression cost"),
                Err(why) => {
                    let why = why.shown("messageExpression compilation", "messageExpression must evaluate to a string");
                    self.wrong_rule(rule, field, &why);
                }
            }
        }
        checked.names("oldSelf")
    }

    fn wrong_rule(&mut self, rule: &Value, field: String, why: &str) {
        self.causes.push(Cause::invalid_shown(field, &go_rule(rule), why));
    }

    fn check_cost(&mut self, field: String, cost: u64, what: &str) {
        if cost > MOST_OF_RULE {
            self.causes.push(Cause::forbidden(&field, &exceeds(what, cost, MOST_OF_RULE)));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= MOST_OF_SCHEMA / 100 {
            self.expensive.push((cost, field));
        }
    }

    fn check_total(&mut self, path: &str) {
        if self.total <= MOST_OF_SCHEMA {
            return;
        }
        self.expensive.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        let why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        self.causes.extend(self.expensive.iter().take(4).map(|(_, field)| Cause::forbidden(field, why)));
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        self.causes.push(Cause::forbidden(path, &exceeds(what, self.total, MOST_OF_SCHEMA)));
    }
}

/// Why an expression is refused.
enum Refused {
    /// It cannot be read, or its parts do not fit.
    Wrong(cel::CompileError),
    /// It gives something else than it should.
    Result,
}

impl Refused {
    fn shown(&self, what: &str, result: &str) -> String {
        match self {
            Refused::Wrong(why) => format!("{what} failed: {why}"),
            Refused::Result => result.to_owned(),
        }
    }
}

fn checked(source: &str, env: &Env, wanted: &Type) -> Result<Checked, Refused> {
    let checked = cel::check(source, env).map_err(Refused::Wrong)?;
    if checked.result() == wanted { Ok(checked) } else { Err(Refused::Result) }
}

fn exceeds(what: &str, cost: u64, most: u64) -> String {
    let times = cost as f64 / most as f64;
    let factor = if times > 100.0 {
        "more than 100x".to_owned()
    } else if times < 1.5 {
        // So that nothing exceeds by a factor of 1.0.
        format!("{times:.6}x")
    } else {
        format!("{times:.1}x")
    };
    let advice =
        "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared";
    format!("{what} exceeds budget by factor of {factor} ({advice})")
}

/// A rule as Kubernetes quotes it: its internal type has no JSON names, and Go's JSON escapes what HTML would.
fn go_rule(rule: &Value) -> String {
    let text = |key: &str| json!(str_at(rule, &[key]));
    let some = |key: &str| at(rule, &[key]).cloned().unwrap_or_default();
    let pairs = [
        ("Rule", text("rule")),
        ("Message", text("message")),
        ("MessageExpression", text("messageExpression")),
        ("Reason", some("reason")),
        ("FieldPath", text("fieldPath")),
        ("OptionalOldSelf", some("optionalOldSelf")),
    ];
    let parts: Vec<String> = pairs.iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
    let escapes = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    escapes.iter().fold(format!("{{{}}}", parts.join(",")), |text, (sign, escape)| text.replace(*sign, escape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{validate_create, validate_update};

    /// What is stored may not be what would be accepted today.
    #[test]
    fn rules_that_are_stored_do_not_hold_back_other_changes() {
        let with = |names: Value, keep: &str| {
            let rules = json!([{"rule": "self.nope > 1"}]);
            let spec = json!({"type": "object", "properties": {keep: {"type": "integer"}}, "x-kubernetes-validations": rules});
            let schema = json!({"type": "object", "properties": {"spec": spec}});
            json!({
                "metadata": {"name": "rules.a.io"},
                "spec": {
                    "group": "a.io", "scope": "Cluster", "names": names, "versions": [
                        {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}},
                    ],
                },
                "status": {"storedVersions": ["v1"]},
            })
        };
        let names = |short: &str| json!({"plural": "rules", "singular": "rule", "kind": "Rule", "listKind": "RuleList", "shortNames": [short]});
        let told = |causes: Vec<Cause>| causes.iter().any(|cause| cause.message.contains("undefined field 'nope'"));
        let old = with(names("a"), "keep");
        assert!(told(validate_create(&old)));
        assert!(!told(validate_update(&with(names("b"), "keep"), &old)), "the schema is as it was");
        assert!(told(validate_update(&with(names("a"), "other"), &old)), "the schema is another");
    }

    #[test]
    fn factors_as_kubernetes_writes_them() {
        for (cost, factor) in
            [(14_999_999, "1.500000x"), (15_000_000, "1.5x"), (10_000_001, "1.000000x"), (1_000_000_001, "more than 100x")]
        {
            let told = exceeds("cost", cost, MOST_OF_RULE);
            assert!(told.starts_with(&format!("cost exceeds budget by factor of {factor} (")), "{told}");
        }
    }
}
