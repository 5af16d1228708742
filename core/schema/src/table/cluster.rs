//! Nodes and the API itself.

use std::collections::BTreeSet;

use object::Value;
use object::value::str_at;

use super::Printer;

pub(super) fn cells(p: &Printer<'_>, group: &str, kind: &str) -> Option<Vec<Value>> {
    Some(match (group, kind) {
        ("", "Node") => node(p),
        ("node.k8s.io", "RuntimeClass") => vec![p.name(), p.text(&["handler"]).into(), p.age()],
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            vec![p.name(), p.list(&["webhooks"]).len().into(), p.age()]
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy") => {
            let kind = p.at(&["spec", "paramKind"]).map(|k| format!("{}/{}", str_at(k, &["apiVersion"]), str_at(k, &["kind"])));
            let rules = p.list(&["spec", "validations"]).len() + p.list(&["spec", "mutations"]).len();
            vec![p.name(), rules.into(), or_unset(kind), p.age()]
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding") => {
            let parameters = p.at(&["spec", "paramRef"]).map(|r| {
                let name = if str_at(r, &["name"]).is_empty() { "*" } else { str_at(r, &["name"]) };
                match str_at(r, &["namespace"]) {
                    "" => name.to_owned(),
                    namespace => format!("{namespace}/{name}"),
                }
            });
            vec![p.name(), p.text(&["spec", "policyName"]).into(), or_unset(parameters), p.age()]
        }
        ("apiregistration.k8s.io", "APIService") => api_service(p),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => flow_schema(p),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => priority_level(p),
        _ => return None,
    })
}

fn or_unset(text: Option<String>) -> Value {
    text.unwrap_or_else(|| "<unset>".to_owned()).into()
}

fn node(p: &Printer<'_>) -> Vec<Value> {
    let ready = p.list(&["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == "Ready");
    let mut status = match ready.map(|c| str_at(c, &["status"])) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if p.bool(&["spec", "unschedulable"]) {
        status += ",SchedulingDisabled";
    }
    let labels = object::meta::string_map(p.at(&["metadata", "labels"]));
    let roles: BTreeSet<&str> = labels
        .iter()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None => Some(value.as_str()).filter(|_| key == "kubernetes.io/role"),
        })
        .filter(|role| !role.is_empty())
        .collect();
    let roles = if roles.is_empty() { "<none>".to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") };
    let address = |kind: &str| {
        let found = p.list(&["status", "addresses"]).iter().find(|a| str_at(a, &["type"]) == kind);
        Value::from(found.map_or("<none>", |a| str_at(a, &["address"])))
    };
    let info = |key: &str| p.text_or(&["status", "nodeInfo", key], "<unknown>");
    vec![
        p.name(),
        status.into(),
        roles.into(),
        p.age(),
        p.text(&["status", "nodeInfo", "kubeletVersion"]).into(),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn api_service(p: &Printer<'_>) -> Vec<Value> {
    let service = p
        .at(&["spec", "service"])
        .map_or_else(|| "Local".to_owned(), |s| format!("{}/{}", str_at(s, &["namespace"]), str_at(s, &["name"])));
    let available = p.list(&["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == "Available");
    let available = match available.map(|c| (str_at(c, &["status"]), str_at(c, &["reason"]))) {
        None => "Unknown".to_owned(),
        Some(("True", _)) => "True".to_owned(),
        Some((status, reason)) => format!("{status} ({reason})"),
    };
    vec![p.name(), service.into(), available.into(), p.age()]
}

fn flow_schema(p: &Printer<'_>) -> Vec<Value> {
    let dangling = p.list(&["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == "Dangling");
    vec![
        p.name(),
        p.text_or(&["spec", "priorityLevelConfiguration", "name"], "<none>"),
        p.int(&["spec", "matchingPrecedence"]).to_string().into(),
        p.text_or(&["spec", "distinguisherMethod", "type"], "<none>"),
        p.age(),
        dangling.map_or("?", |c| str_at(c, &["status"])).into(),
    ]
}

fn priority_level(p: &Printer<'_>) -> Vec<Value> {
    let number = |path: &[&str]| p.at(path).map_or_else(|| "<none>".to_owned(), Value::to_string).into();
    let shares = if p.at(&["spec", "limited"]).is_some() { "limited" } else { "exempt" };
    let queuing = |key: &str| number(&["spec", "limited", "limitResponse", "queuing", key]);
    vec![
        p.name(),
        p.text(&["spec", "type"]).into(),
        number(&["spec", shares, "nominalConcurrencyShares"]),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        p.age(),
    ]
}
