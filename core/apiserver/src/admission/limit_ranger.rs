//! LimitRanger: requests and limits that a namespace's LimitRanges fill in, and the bounds they set.
//!
//! <https://kubernetes.io/docs/concepts/policy/limit-range/>

use std::collections::BTreeMap;

use object::quantity::Quantity;
use object::scheduling::pod_quantities;
use object::value::{self, at, list_at, str_at};
use object::{GroupResource, Result, Value};

use super::{Attributes, Operation};
use crate::server::ApiServer;

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

type Amounts = BTreeMap<String, Quantity>;

fn amounts(map: Option<&Value>) -> Amounts {
    let map = map.and_then(Value::as_object).into_iter().flatten();
    map.filter_map(|(name, value)| Some((name.clone(), Quantity::from_json(value)?))).collect()
}

/// The LimitRanges of the request's namespace.
fn ranges(api: &ApiServer, attributes: &Attributes<'_>) -> Vec<Value> {
    if attributes.target.namespace.is_empty() {
        return Vec::new();
    }
    let resource = GroupResource::literal("", "limitranges");
    api.store.list(&resource, Some(&attributes.target.namespace)).map(|range| range.value()).collect()
}

/// Fills in what containers leave out.
pub fn mutate(api: &mut ApiServer, attributes: &Attributes<'_>, pod: &mut Value) -> Result<()> {
    if !attributes.is("", "pods") || attributes.operation != Operation::Create {
        return Ok(());
    }
    for range in ranges(api, attributes) {
        let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
        for item in list_at(&range, &["spec", "limits"]).iter().filter(|item| str_at(item, &["type"]) == "Container") {
            requests.extend(amounts(at(item, &["defaultRequest"])));
            limits.extend(amounts(at(item, &["default"])));
        }
        let mut said = Vec::new();
        for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
            let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                let name = str_at(container, &["name"]).to_owned();
                for (kind, word, defaults) in [("requests", "request", &requests), ("limits", "limit", &limits)] {
                    let filled = fill(container, kind, defaults);
                    if !filled.is_empty() {
                        said.push(format!("{} {word} for {what} {name}", filled.join(", ")));
                    }
                }
            }
        }
        if !said.is_empty() {
            let text = format!("LimitRanger plugin set: {}", said.join("; "));
            value::set(pod, &["metadata", "annotations", ANNOTATION], text);
        }
    }
    Ok(())
}

/// Sets the amounts a container does not name; returns their names.
fn fill(container: &mut Value, kind: &str, defaults: &Amounts) -> Vec<String> {
    let missing: Vec<(&String, &Quantity)> =
        defaults.iter().filter(|(name, _)| at(container, &["resources", kind, name]).is_none()).collect();
    for (name, quantity) in &missing {
        value::set(container, &["resources", kind, name], quantity.to_string());
    }
    missing.into_iter().map(|(name, _)| name.clone()).collect()
}

/// Checks the bounds.
pub fn validate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    let creates = attributes.operation == Operation::Create;
    let checks = attributes.is("", "pods") && creates || attributes.is("", "persistentvolumeclaims");
    if !checks || object.is_null() {
        return Ok(());
    }
    for range in ranges(api, attributes) {
        let mut wrong = Vec::new();
        for item in list_at(&range, &["spec", "limits"]) {
            match (str_at(item, &["type"]), attributes.is("", "pods")) {
                ("Container", true) => {
                    for list in ["containers", "initContainers"] {
                        for container in list_at(object, &["spec", list]) {
                            let requests = amounts(at(container, &["resources", "requests"]));
                            let limits = amounts(at(container, &["resources", "limits"]));
                            check(item, &requests, &limits, true, &mut wrong);
                        }
                    }
                }
                ("Pod", true) => {
                    let spec = object.get("spec").unwrap_or(&Value::Null);
                    let (requests, limits) = (pod_quantities(spec, "requests"), pod_quantities(spec, "limits"));
                    check(item, &requests, &limits, true, &mut wrong);
                }
                ("PersistentVolumeClaim", false) => {
                    let requests = amounts(at(object, &["spec", "resources", "requests"]));
                    check(item, &requests, &Amounts::new(), false, &mut wrong);
                }
                _ => {}
            }
        }
        match wrong.as_slice() {
            [] => {}
            [one] => return Err(attributes.forbidden(one)),
            several => return Err(attributes.forbidden(&format!("[{}]", several.join(", ")))),
        }
    }
    Ok(())
}

fn check(item: &Value, requests: &Amounts, limits: &Amounts, has_limits: bool, wrong: &mut Vec<String>) {
    let kind = str_at(item, &["type"]);
    for (name, least) in amounts(at(item, &["min"])) {
        match (requests.get(&name), limits.get(&name)) {
            (None, None) => wrong.push(format!("minimum {name} usage per {kind} is {least}.  No request is specified")),
            (Some(request), _) if *request < least => {
                wrong.push(format!("minimum {name} usage per {kind} is {least}, but request is {request}"));
            }
            (_, Some(limit)) if *limit < least => {
                wrong.push(format!("minimum {name} usage per {kind} is {least}, but limit is {limit}"));
            }
            _ => {}
        }
    }
    for (name, most) in amounts(at(item, &["max"])) {
        match (requests.get(&name), limits.get(&name)) {
            (_, None) if has_limits => wrong.push(format!("maximum {name} usage per {kind} is {most}.  No limit is specified")),
            (Some(request), None) if *request > most => {
                wrong.push(format!("maximum {name} usage per {kind} is {most}, but request is {request}"));
            }
            (_, Some(limit)) if *limit > most => {
                wrong.push(format!("maximum {name} usage per {kind} is {most}, but limit is {limit}"));
            }
            (Some(request), _) if *request > most => {
                wrong.push(format!("maximum {name} usage per {kind} is {most}, but request is {request}"));
            }
            _ => {}
        }
    }
    for (name, ratio) in amounts(at(item, &["maxLimitRequestRatio"])) {
        let why = |text: String| format!("{name} max limit to request ratio per {kind} is {ratio}, {text}");
        match (requests.get(&name), limits.get(&name)) {
            (None, _) => wrong.push(why("but no request is specified or request is 0".to_owned())),
            (_, None) => wrong.push(why("but no limit is specified or limit is 0".to_owned())),
            (Some(request), Some(_)) if request.is_zero() => {
                wrong.push(why("but no request is specified or request is 0".to_owned()));
            }
            (Some(request), Some(limit)) => {
                let is = limit.as_f64() / request.as_f64();
                if is > ratio.as_f64() {
                    wrong.push(why(format!("but provided ratio is {is:.6}")));
                }
            }
        }
    }
}
