//! What is read of claims and classes.

use cel::{Activation, Program, Value as CelValue};
use object::Value;
use object::scheduling::NodeSelector;
use object::value::{at, i64_at, list_at, str_at};
use serde::Deserialize;
use store::View;

/// What one evaluation of a selector may spend.
const BUDGET: u64 = 1_000_000;

/// Expressions that must all hold of a device.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors(Vec<Option<Program>>);

impl Selectors {
    /// Reads a list of selectors. What cannot be read matches nothing.
    pub fn of(owner: &Value) -> Self {
        let program = |selector: &Value| Program::compile(str_at(selector, &["cel", "expression"]), &["device"]).ok();
        Selectors(list_at(owner, &["selectors"]).iter().map(program).collect())
    }

    /// Whether a device is wanted.
    pub fn matches(&self, device: &CelValue) -> bool {
        self.0.iter().all(|program| {
            let activation = Activation::new().with("device", device.clone());
            let mut budget = BUDGET;
            let holds = program.as_ref().map(|program| program.run(&activation, &mut budget));
            matches!(holds, Some(Ok(CelValue::Bool(true))))
        })
    }
}

/// One way to serve a request.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// The request's name; with `/` and the alternative's, if there are several.
    pub name: String,
    pub class: String,
    pub selectors: Selectors,
    /// How many devices; `None` for all that match.
    pub count: Option<u32>,
    pub admin: bool,
}

impl Want {
    fn of(name: String, part: &Value) -> Self {
        let all = str_at(part, &["allocationMode"]) == "All";
        Want {
            name,
            class: str_at(part, &["deviceClassName"]).to_owned(),
            selectors: Selectors::of(part),
            count: (!all).then(|| u32::try_from(i64_at(part, &["count"]).unwrap_or(1)).unwrap_or(1).max(1)),
            admin: at(part, &["adminAccess"]).and_then(Value::as_bool).unwrap_or(false),
        }
    }
}

/// Attributes that the devices of some requests must have alike, or all different.
#[derive(Clone, Debug)]
pub(super) struct Constraint {
    /// Names of requests; none for all.
    pub requests: Vec<String>,
    pub attribute: String,
    pub distinct: bool,
}

impl Constraint {
    /// Whether it speaks of a request, or of the one that this is an alternative of.
    pub fn concerns(&self, request: &str) -> bool {
        let main = request.split('/').next().unwrap_or(request);
        self.requests.is_empty() || self.requests.iter().any(|name| name == request || name == main)
    }
}

/// A ResourceClaim.
pub(super) struct ClaimView {
    /// Each request with its alternatives, the best first.
    pub requests: Vec<Vec<Want>>,
    pub constraints: Vec<Constraint>,
    /// Configuration as it is passed on.
    pub config: Vec<Value>,
    pub allocation: Option<Value>,
    /// From where its devices can be reached.
    pub reach: Option<NodeSelector>,
    /// Uids of the pods that it is reserved for.
    pub users: Vec<String>,
}

impl View for ClaimView {
    fn of(object: &Value) -> Self {
        let wants = |request: &Value| -> Vec<Want> {
            let name = str_at(request, &["name"]);
            match at(request, &["exactly"]) {
                Some(exactly) => vec![Want::of(name.to_owned(), exactly)],
                None => {
                    let alternative = |part: &Value| Want::of(format!("{name}/{}", str_at(part, &["name"])), part);
                    list_at(request, &["firstAvailable"]).iter().map(alternative).collect()
                }
            }
        };
        let constraint = |c: &Value| {
            let distinct = str_at(c, &["distinctAttribute"]);
            let alike = str_at(c, &["matchAttribute"]);
            Constraint {
                requests: list_at(c, &["requests"]).iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                attribute: if distinct.is_empty() { alike } else { distinct }.to_owned(),
                distinct: !distinct.is_empty(),
            }
        };
        let allocation = at(object, &["status", "allocation"]).filter(|allocation| allocation.is_object());
        let reach = allocation.and_then(|allocation| allocation.get("nodeSelector"));
        ClaimView {
            requests: list_at(object, &["spec", "devices", "requests"]).iter().map(wants).collect(),
            constraints: list_at(object, &["spec", "devices", "constraints"]).iter().map(constraint).collect(),
            config: list_at(object, &["spec", "devices", "config"]).to_vec(),
            allocation: allocation.cloned(),
            reach: reach.and_then(|reach| NodeSelector::deserialize(reach).ok()),
            users: list_at(object, &["status", "reservedFor"]).iter().map(|r| str_at(r, &["uid"]).to_owned()).collect(),
        }
    }
}

/// A DeviceClass.
pub(super) struct ClassView {
    pub selectors: Selectors,
    pub config: Vec<Value>,
}

impl View for ClassView {
    fn of(object: &Value) -> Self {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        ClassView { selectors: Selectors::of(spec), config: list_at(spec, &["config"]).to_vec() }
    }
}
