//! ValidatingAdmissionPolicy: rules in CEL that a cluster's operators write, put to work by bindings.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

use std::sync::Arc;

use cel::{Activation, Program, Value as CelValue};
use object::selector::LabelSelector;
use object::value::{at, list_at, str_at};
use object::{ApiError, Cause, CauseType, GroupResource, Reason, Result, Value, json};
use store::{Key, Object, View};

use super::Attributes;
use crate::server::ApiServer;

const GROUP: &str = "admissionregistration.k8s.io";

/// What one binding may spend on one request.
const BUDGET: u64 = 10_000_000;

/// What expressions may name.
const VARIABLES: [&str; 7] = ["object", "oldObject", "request", "params", "namespaceObject", "authorizer", "variables"];

/// An expression that was read, or why it could not be.
pub(super) type Compiled = std::result::Result<Program, String>;

/// A policy with its expressions read, once per version of it.
struct Policy {
    variables: Vec<(String, Compiled)>,
    conditions: Vec<Compiled>,
    validations: Vec<Validation>,
}

struct Validation {
    expression: String,
    program: Compiled,
    message: String,
    message_program: Option<Program>,
    reason: String,
}

/// Reads an expression.
pub(super) fn compile(source: &str) -> Compiled {
    Program::compile(source.trim(), &VARIABLES).map_err(|why| format!("compilation error: compilation failed: {why}"))
}

impl View for Policy {
    fn of(policy: &Value) -> Self {
        let list = |key: &str| list_at(policy, &["spec", key]).iter();
        let text = |entry: &Value, key: &str| str_at(entry, &[key]).to_owned();
        Policy {
            variables: list("variables").map(|v| (text(v, "name"), compile(str_at(v, &["expression"])))).collect(),
            conditions: list("matchConditions").map(|c| compile(str_at(c, &["expression"]))).collect(),
            validations: list("validations")
                .map(|v| Validation {
                    expression: text(v, "expression"),
                    program: compile(str_at(v, &["expression"])),
                    message: text(v, "message"),
                    message_program: compile(str_at(v, &["messageExpression"])).ok(),
                    reason: text(v, "reason"),
                })
                .collect(),
        }
    }
}

/// One reason against the request.
struct Denial {
    policy: String,
    binding: String,
    message: String,
    reason: String,
}

/// Asks all policies that are bound.
pub fn validate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    let bindings = GroupResource::new(GROUP, "validatingadmissionpolicybindings");
    let bindings: Vec<Arc<Object>> = api.store.list(&bindings, None).cloned().collect();
    // Nobody can lock out those who mend policies.
    if bindings.is_empty() || &*attributes.target.resource.gvr.group == GROUP {
        return Ok(());
    }
    let mut denied = None;
    for binding in bindings {
        let stated = binding.value();
        let key =
            Key::new(&GroupResource::new(GROUP, "validatingadmissionpolicies"), "", str_at(&stated, &["spec", "policyName"]));
        let Some(policy) = api.store.get(&key).cloned() else { continue };
        let request = Request { api, attributes, object };
        let constraints = policy.value();
        if !request.matches(&constraints, "matchConstraints") || !request.matches(&stated, "matchResources") {
            continue;
        }
        let failures = request.judge(policy.view::<Policy>(), &constraints, &stated);
        let actions: Vec<&str> = list_at(&stated, &["spec", "validationActions"]).iter().filter_map(Value::as_str).collect();
        let (policy, binding) = (key.name.to_string(), binding.key.name.to_string());
        for (message, reason) in failures {
            if actions.contains(&"Warn") {
                api.warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {message}"
                ));
            }
            if actions.contains(&"Deny") && denied.is_none() {
                denied = Some(Denial { policy: policy.clone(), binding: binding.clone(), message, reason });
            }
        }
    }
    denied.map_or(Ok(()), |denial| Err(refused(attributes, &denial)))
}

fn refused(attributes: &Attributes<'_>, denial: &Denial) -> Box<ApiError> {
    let Denial { policy, binding, message, reason } = denial;
    let why = format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}");
    let mut error = attributes.forbidden(&why);
    (error.code, error.reason) = match reason.as_str() {
        "Forbidden" => (403, Reason::Forbidden),
        "Unauthorized" => (401, Reason::Unauthorized),
        "RequestEntityTooLarge" => (413, Reason::RequestEntityTooLarge),
        _ => (422, Reason::Invalid),
    };
    error.details.causes.push(Cause { reason: CauseType::Internal, field: String::new(), message: why });
    error
}

/// One request, as expressions see it.
pub(super) struct Request<'a> {
    pub(super) api: &'a ApiServer,
    pub(super) attributes: &'a Attributes<'a>,
    pub(super) object: &'a Value,
}

impl Request<'_> {
    /// Whether a part of a policy or binding means this request. A binding that says nothing means all of its policy's.
    fn matches(&self, of: &Value, part: &str) -> bool {
        let Some(wanted) = at(of, &["spec", part]) else { return true };
        if !self.attributes.selected(self.api, self.object, wanted) {
            return false;
        }
        let matches = |rule: &Value| self.attributes.rule_matches(rule, &self.attributes.target.resource.gvr);
        let rules = list_at(wanted, &["resourceRules"]);
        let excluded = list_at(wanted, &["excludeResourceRules"]).iter().any(matches);
        !excluded && (rules.is_empty() && part == "matchResources" || rules.iter().any(matches))
    }

    /// Messages and reasons of everything that does not hold.
    fn judge(&self, policy: &Policy, stated: &Value, binding: &Value) -> Vec<(String, String)> {
        let fails = str_at(stated, &["spec", "failurePolicy"]) != "Ignore";
        let params = match self.params(stated, binding) {
            Ok(params) => params,
            Err(why) if fails => return vec![(format!("failed to configure binding: {why}"), String::new())],
            Err(_) => return Vec::new(),
        };
        let mut found = Vec::new();
        let mut budget = BUDGET;
        for params in params {
            let mut activation = self.activation(&params);
            let mut held = true;
            for condition in &policy.conditions {
                match run(condition, &activation, &mut budget) {
                    Ok(CelValue::Bool(true)) => {}
                    Ok(_) => held = false,
                    Err(why) if fails => return vec![(why, String::new())],
                    Err(_) => return Vec::new(),
                }
            }
            if !held {
                continue;
            }
            let mut variables = Vec::new();
            for (name, program) in &policy.variables {
                activation.set("variables", CelValue::map(variables.clone()));
                // Whoever asks for a variable that failed is told why.
                let value = run(program, &activation, &mut budget).unwrap_or_else(|why| CelValue::Failed(why.into()));
                variables.push((name.clone(), value));
            }
            activation.set("variables", CelValue::map(variables));
            for validation in &policy.validations {
                match run(&validation.program, &activation, &mut budget) {
                    Ok(CelValue::Bool(true)) => {}
                    Ok(_) => found.push((validation.message(&activation, &mut budget), validation.reason.clone())),
                    Err(why) if fails => {
                        let why = format!("expression '{}' resulted in error: {why}", validation.expression);
                        found.push((why, String::new()));
                    }
                    Err(_) => {}
                }
            }
        }
        found
    }

    /// The objects that a binding gives a policy; one null where it needs none.
    fn params(&self, policy: &Value, binding: &Value) -> std::result::Result<Vec<Value>, String> {
        let (Some(kind), Some(reference)) = (at(policy, &["spec", "paramKind"]), at(binding, &["spec", "paramRef"])) else {
            return Ok(vec![Value::Null]);
        };
        let version = object::GroupVersion::parse(str_at(kind, &["apiVersion"])).unwrap_or_default();
        let resource = self.api.registry.kind(&version.kind(str_at(kind, &["kind"])));
        let Some(resource) = resource else { return Err("failed to find resource referenced by paramKind".to_owned()) };
        let said = str_at(reference, &["namespace"]);
        let namespace = match (resource.namespaced, said) {
            (false, _) => "",
            (true, "") => &self.attributes.target.namespace,
            (true, said) => said,
        };
        let name = str_at(reference, &["name"]);
        let stored = &resource.storage.resource;
        let mut found: Vec<Value> = if name.is_empty() {
            let selector = at(reference, &["selector"]).and_then(|selector| LabelSelector::from_json(selector).ok());
            let all = self.api.store.list(stored, resource.namespaced.then_some(namespace));
            all.filter(|object| selector.as_ref().is_some_and(|s| s.matches(&object.meta.labels)))
                .map(|object| object.value())
                .collect()
        } else {
            self.api.store.get(&Key::new(stored, namespace, name)).map(|object| object.value()).into_iter().collect()
        };
        if found.is_empty() {
            if str_at(reference, &["parameterNotFoundAction"]) == "Deny" {
                return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
            }
            return Ok(Vec::new());
        }
        found.truncate(100);
        Ok(found)
    }

    /// What expressions may name.
    pub(super) fn activation(&self, params: &Value) -> Activation<'static> {
        let target = self.attributes.target;
        let (gvr, kind) = (&target.resource.gvr, &target.resource.kind);
        let user = crate::strategy::review::user_info(self.attributes.user);
        let kind = json!({"group": &*kind.group, "version": &*kind.version, "kind": &*kind.kind});
        let resource = json!({"group": &*gvr.group, "version": &*gvr.version, "resource": &*gvr.resource});
        let request = json!({
            "kind": &kind, "resource": &resource, "subResource": target.subresource,
            "requestKind": kind, "requestResource": resource, "requestSubResource": target.subresource, "name": self.attributes.name, "namespace": target.namespace,
            "operation": self.attributes.operation.as_str(), "userInfo": user, "dryRun": self.attributes.is_dry_run(),
            "options": self.attributes.options_object(),
        });
        let null = Value::Null;
        Activation::new()
            .with("object", CelValue::from_json(self.object))
            .with("oldObject", CelValue::from_json(self.attributes.old.unwrap_or(&null)))
            .with("request", CelValue::from_json(&request))
            .with("params", CelValue::from_json(params))
            .with(
                "namespaceObject",
                CelValue::from_json(&self.attributes.namespace_object(self.api, self.object).unwrap_or_default()),
            )
    }
}

/// Runs an expression that may have failed to be read.
pub(super) fn run(program: &Compiled, activation: &Activation<'_>, budget: &mut u64) -> std::result::Result<CelValue, String> {
    match program {
        Ok(program) => program.run(activation, budget).map_err(|why| why.to_string()),
        Err(why) => Err(why.clone()),
    }
}

impl Validation {
    fn message(&self, activation: &Activation<'_>, budget: &mut u64) -> String {
        let told = self.message_program.as_ref().and_then(|program| program.run(activation, budget).ok());
        match told.as_ref().and_then(CelValue::as_str).map(str::trim) {
            Some(text) if !text.is_empty() && !text.contains('\n') => text.to_owned(),
            _ if !self.message.is_empty() => self.message.trim().to_owned(),
            _ => format!("failed expression: {}", self.expression.trim()),
        }
    }
}
