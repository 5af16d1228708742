//! ValidatingAdmissionPolicy: what does not hold is refused, warned of, or noted in the audit log.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

use std::collections::BTreeMap;

use cel::{Compiled, Value as CelValue};
use object::value::{list_at, str_at};
use object::{ApiError, Cause, CauseType, Reason, Result, Value, json};
use store::View;

use super::super::Attributes;
use super::expressions::{Asker, Evaluation, Failure, PER_POLICY, Subject, hold, read};
use super::{GROUP, Stated, bound, params};
use crate::server::ApiServer;

/// A text that an expression makes for a refusal is no longer than this.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// Longest value of an annotation in the audit log.
const LONGEST_ANNOTATION: usize = 10 * 1024;

/// A policy with its expressions read, once per version of it.
struct Policy {
    ignores_failures: bool,
    variables: Vec<(String, Compiled)>,
    conditions: Vec<Compiled>,
    validations: Vec<Validation>,
    annotations: Vec<(String, Compiled)>,
}

struct Validation {
    expression: String,
    program: Compiled,
    message: String,
    message_program: Option<Compiled>,
    reason: String,
}

impl View for Policy {
    fn of(policy: &Value) -> Self {
        let list = |key: &str| list_at(policy, &["spec", key]).iter();
        let text = |entry: &Value, key: &str| str_at(entry, &[key]).to_owned();
        let made = |v: &Value| Some(str_at(v, &["messageExpression"])).filter(|source| !source.is_empty()).map(read);
        Policy {
            ignores_failures: str_at(policy, &["spec", "failurePolicy"]) == "Ignore",
            variables: list("variables").map(|v| (text(v, "name"), read(str_at(v, &["expression"])))).collect(),
            conditions: list("matchConditions").map(|c| read(str_at(c, &["expression"]))).collect(),
            validations: list("validations")
                .map(|v| Validation {
                    expression: text(v, "expression"),
                    program: read(str_at(v, &["expression"])),
                    message: text(v, "message"),
                    message_program: made(v),
                    reason: text(v, "reason"),
                })
                .collect(),
            annotations: list("auditAnnotations").map(|a| (text(a, "key"), read(str_at(a, &["valueExpression"])))).collect(),
        }
    }
}

/// One reason against a request.
struct Decision {
    /// The place of the validation among its policy's.
    index: usize,
    message: String,
    reason: String,
}

impl Decision {
    fn failed(index: usize, message: String) -> Self {
        Decision { index, message, reason: String::new() }
    }
}

/// What a policy says of a request with one set of parameters.
#[derive(Default)]
struct Verdict {
    decisions: Vec<Decision>,
    /// Keys, and their values or why there are none.
    annotations: Vec<(String, std::result::Result<String, String>)>,
}

/// The first refusal, and what else is told.
#[derive(Default)]
struct Outcome {
    denied: Option<Box<ApiError>>,
    warnings: Vec<String>,
}

impl Outcome {
    fn deny(&mut self, attributes: &Attributes<'_>, policy: &str, binding: Option<&str>, decision: &Decision) {
        self.denied.get_or_insert_with(|| {
            let with = binding.map_or(String::new(), |binding| format!(" with binding '{binding}'"));
            let why = format!("ValidatingAdmissionPolicy '{policy}'{with} denied request: {}", decision.message);
            let mut error = attributes.forbidden(&why);
            (error.code, error.reason) = match decision.reason.as_str() {
                "Forbidden" => (403, Reason::Forbidden),
                "Unauthorized" => (401, Reason::Unauthorized),
                "RequestEntityTooLarge" => (413, Reason::RequestEntityTooLarge),
                _ => (422, Reason::Invalid),
            };
            error.details.causes.push(Cause { reason: CauseType::Internal, field: String::new(), message: why });
            error
        });
    }
}

/// Asks all policies that are bound.
pub fn validate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    // Nobody can lock out those who mend policies.
    if &*attributes.target.resource.gvr.group == GROUP {
        return Ok(());
    }
    let mut outcome = Outcome::default();
    for (policy, bindings) in bound(api, "validatingadmissionpolicies", "validatingadmissionpolicybindings") {
        let (stated, view, name) = (Stated::of_object(&policy), policy.view::<Policy>(), &*policy.key.name);
        let constraints = stated.get("spec").and_then(|spec| spec.get("matchConstraints")).unwrap_or(&Value::Null);
        let Some(resource) = attributes.meant(api, object, constraints) else { continue };
        let kind = match params::kind(api, stated) {
            Ok(kind) => kind,
            Err(_) if view.ignores_failures => continue,
            Err(why) => {
                let decision = Decision::failed(0, format!("failed to configure policy: {why}"));
                outcome.deny(attributes, name, None, &decision);
                continue;
            }
        };
        let subject = Subject::new(api, attributes, object, &resource)?;
        let mut noted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for binding in bindings {
            let stated = Stated::of_object(&binding);
            let wanted = stated.get("spec").and_then(|spec| spec.get("matchResources"));
            if wanted.is_some_and(|wanted| attributes.meant(api, object, wanted).is_none()) {
                continue;
            }
            let by = Bound { policy: name, binding: &binding.key.name, stated };
            let all = match params::collect(api, attributes, kind.as_ref(), stated)? {
                Ok(params) => params,
                Err(_) if view.ignores_failures => continue,
                Err(why) => {
                    let decision = Decision::failed(0, format!("failed to configure binding: {why}"));
                    outcome.deny(attributes, name, Some(by.binding), &decision);
                    continue;
                }
            };
            for params in all {
                let asker = Asker { api, user: attributes.user };
                let verdict = view.judge(&subject, &params, &asker);
                by.act(api, attributes, verdict, &mut outcome, &mut noted);
            }
        }
        for (key, values) in noted {
            api.annotate(&format!("{name}/{key}"), || values.join(", "));
        }
    }
    api.warnings.append(&mut outcome.warnings);
    outcome.denied.map_or(Ok(()), Err)
}

/// A policy as it is bound.
struct Bound<'a> {
    policy: &'a str,
    binding: &'a str,
    stated: &'a Value,
}

impl Bound<'_> {
    /// Does with a verdict what the binding says.
    fn act(
        &self,
        api: &mut ApiServer,
        attributes: &Attributes<'_>,
        verdict: Verdict,
        outcome: &mut Outcome,
        noted: &mut BTreeMap<String, Vec<String>>,
    ) {
        let Bound { policy, binding, stated } = *self;
        let actions = list_at(stated, &["spec", "validationActions"]);
        for decision in verdict.decisions {
            for action in actions.iter().filter_map(Value::as_str) {
                match action {
                    "Deny" => outcome.deny(attributes, policy, Some(binding), &decision),
                    "Warn" => outcome.warnings.push(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {}",
                        decision.message
                    )),
                    "Audit" => api.annotate("validation.policy.admission.k8s.io/validation_failure", || {
                        let quoted = |text: &str| Value::from(text).to_string();
                        let (message, policy, binding) = (quoted(&decision.message), quoted(policy), quoted(binding));
                        let (index, actions) = (decision.index, json!(actions));
                        format!(
                            "[{{\"message\":{message},\"policy\":{policy},\"binding\":{binding},\"expressionIndex\":{index},\
                             \"validationActions\":{actions}}}]"
                        )
                    }),
                    _ => {}
                }
            }
        }
        for (key, value) in verdict.annotations {
            match value {
                Ok(value) => {
                    let values = noted.entry(key).or_default();
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
                Err(why) => outcome.deny(attributes, policy, Some(binding), &Decision::failed(0, why)),
            }
        }
    }
}

impl Policy {
    /// A verdict that is nothing but a failure, or nothing where failures are ignored.
    fn failure(&self, message: String) -> Verdict {
        let failed = (!self.ignores_failures).then(|| Decision::failed(0, message));
        Verdict { decisions: failed.into_iter().collect(), annotations: Vec::new() }
    }

    fn judge(&self, subject: &Subject, params: &Value, asker: &Asker<'_>) -> Verdict {
        let activation = subject.activation(params, asker);
        match hold(&self.conditions, activation.clone()) {
            Ok(true) => {}
            Ok(false) => return Verdict::default(),
            Err(why) => return self.failure(why),
        }
        let mut evaluation = Evaluation::new(activation.clone(), &self.variables, PER_POLICY);
        let mut verdict = Verdict::default();
        let mut refused = Vec::new();
        for (index, validation) in self.validations.iter().enumerate() {
            match evaluation.run(&validation.program) {
                Ok(CelValue::Bool(true)) => {}
                Ok(_) => refused.push(index),
                Err(Failure::Spent) => return self.failure(Failure::Spent.to_string()),
                Err(_) if self.ignores_failures => {}
                Err(why) => verdict.decisions.push(Decision::failed(index, why.to_string())),
            }
        }
        for index in refused {
            let validation = &self.validations[index];
            let decision = match validation.message(&mut evaluation) {
                Ok(message) => Decision { index, message, reason: validation.reason.clone() },
                Err(_) if self.ignores_failures => continue,
                Err(why) => Decision::failed(index, why),
            };
            verdict.decisions.push(decision);
        }
        verdict.decisions.sort_by_key(|decision| decision.index);
        let mut evaluation = Evaluation::new(activation, &self.variables, PER_POLICY);
        for (key, program) in &self.annotations {
            match evaluation.run(program) {
                Ok(value) => {
                    let text = value.as_str().map(str::trim).filter(|text| !text.is_empty());
                    verdict.annotations.extend(text.map(|text| (key.clone(), Ok(shortened(text).to_owned()))));
                }
                Err(Failure::Spent) => return self.failure(Failure::Spent.to_string()),
                Err(_) if self.ignores_failures => {}
                Err(why) => verdict.annotations.push((key.clone(), Err(why.to_string()))),
            }
        }
        verdict
    }
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_ANNOTATION);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Validation {
    /// Why the request is refused. `Err` if nothing was left to find out.
    fn message(&self, evaluation: &mut Evaluation<'_>) -> std::result::Result<String, String> {
        let told = match self.message_program.as_ref().map(|program| evaluation.run(program)) {
            Some(Err(Failure::Spent)) => return Err(format!("failed messageExpression: {}", Failure::Spent)),
            Some(Ok(value)) => value.as_str().map(|text| text.trim().to_owned()).unwrap_or_default(),
            _ => String::new(),
        };
        if !told.is_empty() && told.len() <= LONGEST_MESSAGE && !told.contains('\n') {
            return Ok(told);
        }
        Ok(match self.message.trim() {
            "" => format!("failed expression: {}", self.expression.trim()),
            message => message.to_owned(),
        })
    }
}
