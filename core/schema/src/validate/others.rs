//! Kinds with few rules: nodes, endpoints, drivers, runtime classes and reviews.

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, probe, resources, scheduling, service};

pub(super) fn node(e: &mut Errors, object: &Value, old: Option<&Value>) {
    // Kubernetes puts the taints into the metadata's path.
    let meta = Path::root("metadata");
    let list = meta.child("taints");
    let mut seen = std::collections::BTreeSet::new();
    for (i, taint) in items(deep(object, &["spec", "taints"])).iter().enumerate() {
        let path = list.index(i);
        let (key, value, effect) = (text(field(taint, "key")), text(field(taint, "value")), field(taint, "effect"));
        e.name(&path.child("key"), key, names::qualified_name);
        scheduling::joined(e, &path.child("value"), value, names::label_value(value));
        e.one_of(&path.child("effect"), effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        if !seen.insert((key, text(effect))) {
            let added = field(taint, "timeAdded");
            let shown = format!("{{\"Key\":{key:?},\"Value\":{value:?},\"Effect\":{:?},\"TimeAdded\":{added}}}", text(effect));
            e.duplicate_because(&path, &shown, "taints must be unique by key and effect pair");
        }
    }
    node_resources(e, object);
    if old.is_none() {
        pod_ranges(e, deep(object, &["spec", "podCIDRs"]));
    }
}

/// `ValidateNodeResources`.
pub(super) fn node_resources(e: &mut Errors, object: &Value) {
    let status = Path::root("status");
    for key in ["capacity", "allocatable"] {
        for (name, amount) in deep(object, &["status", key]).as_object().into_iter().flatten() {
            let at = status.child(key);
            resources::quantity(e, name, amount, &at.child(name));
        }
    }
}

fn pod_ranges(e: &mut Errors, ranges: &Value) {
    let spec = Path::root("spec");
    let path = spec.child("podCIDRs");
    let list = items(ranges);
    for (i, range) in list.iter().enumerate() {
        service::cidr(e, range, &path.index(i));
    }
    let v6 = |range: &Value| text(range).contains(':');
    if list.len() > 2 || list.len() == 2 && list.first().map(v6) == list.get(1).map(v6) {
        e.invalid(&path, ranges, "may specify no more than one CIDR for each IP family");
    }
    for (i, range) in list.iter().enumerate().filter(|(i, range)| list.iter().take(*i).any(|before| before == *range)) {
        e.duplicate(&path.index(i), range);
    }
}

pub(super) fn endpoint_slice(e: &mut Errors, object: &Value, old: Option<&Value>) {
    let kind = field(object, "addressType");
    e.one_of(&Path::root("addressType"), kind, &["FQDN", "IPv4", "IPv6"]);
    let (list, endpoints) = (Path::root("endpoints"), items(field(object, "endpoints")));
    if endpoints.len() > 1_000 {
        e.too_many(&list, endpoints.len(), 1_000);
    } else {
        for (i, endpoint) in endpoints.iter().enumerate() {
            slice_endpoint(e, endpoint, text(kind), &list.index(i));
        }
    }
    slice_ports(e, items(field(object, "ports")), &Path::root("ports"));
    if let Some(old) = old {
        e.immutable(&Path::root("addressType"), kind, field(old, "addressType"));
    }
}

fn slice_endpoint(e: &mut Errors, endpoint: &Value, kind: &str, path: &Path<'_>) {
    let (addresses, at) = (items(field(endpoint, "addresses")), path.child("addresses"));
    match addresses.len() {
        0 => e.required(&at, "must contain at least 1 address"),
        1..=100 => {}
        many => e.too_many(&at, many, 100),
    }
    for (i, address) in addresses.iter().enumerate() {
        let at = at.index(i);
        match (kind, service::parse_ip(text(address))) {
            ("FQDN", _) => domain(e, text(address), &at),
            ("IPv4" | "IPv6", None) => service::ip(e, address, &at),
            ("IPv4" | "IPv6", Some(ip)) => {
                if ip.is_ipv4() != (kind == "IPv4") {
                    e.invalid(&at, address, &format!("must be an {kind} address"));
                }
                service::endpoint_ip(e, address, &at);
            }
            _ => {}
        }
    }
    if let Some(node) = field(endpoint, "nodeName").as_str() {
        e.name(&path.child("nodeName"), node, names::dns1123_subdomain);
    }
    if let Some(host) = field(endpoint, "hostname").as_str() {
        e.name(&path.child("hostname"), host, names::dns1123_label);
    }
    let hints = path.child("hints");
    for key in ["forZones", "forNodes"] {
        let (list, at) = (items(deep(endpoint, &["hints", key])), hints.child(key));
        if list.len() > 8 {
            e.too_many(&at, list.len(), 8);
            continue;
        }
        for (i, hint) in list.iter().enumerate() {
            let (name, at) = (field(hint, "name"), at.index(i).to_string());
            let at = Path::root(&at);
            if list.iter().take(i).any(|before| field(before, "name") == name) {
                e.duplicate(&at.child("name"), name);
            }
            let rule = if key == "forZones" { names::label_value } else { names::dns1123_subdomain };
            e.name(&at.child("name"), text(name), rule);
        }
    }
}

/// `IsFullyQualifiedDomainName`.
fn domain(e: &mut Errors, name: &str, path: &Path<'_>) {
    let bare = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return e.required(path, "");
    }
    let wrong = names::dns1123_subdomain(bare);
    if !wrong.is_empty() {
        return e.all(path, &bare.into(), wrong);
    }
    if !bare.contains('.') {
        return e.invalid(path, &bare.into(), "should be a domain with at least two segments separated by dots");
    }
    for label in bare.split('.') {
        e.name(path, label, names::dns1123_label);
    }
}

fn slice_ports(e: &mut Errors, ports: &[Value], list: &Path<'_>) {
    if ports.len() > 20_000 {
        return e.too_many(list, ports.len(), 20_000);
    }
    let mut seen = std::collections::BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = list.index(i);
        let name = text(field(port, "name"));
        if !name.is_empty() {
            e.name(&path.child("name"), name, names::dns1123_label);
        }
        if !seen.insert(name) {
            e.duplicate(&path.child("name"), &name.into());
        }
        e.one_of(&path.child("protocol"), field(port, "protocol"), &["SCTP", "TCP", "UDP"]);
        if let Some(protocol) = field(port, "appProtocol").as_str() {
            e.name(&path.child("appProtocol"), protocol, names::qualified_name);
        }
    }
}

pub(super) fn endpoints(e: &mut Errors, object: &Value) {
    let subsets = Path::root("subsets");
    for (i, subset) in items(field(object, "subsets")).iter().enumerate() {
        let path = subsets.index(i);
        let (ready, waiting) = (items(field(subset, "addresses")), items(field(subset, "notReadyAddresses")));
        if ready.is_empty() && waiting.is_empty() {
            e.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for (key, addresses) in [("addresses", ready), ("notReadyAddresses", waiting)] {
            let list = path.child(key);
            for (i, address) in addresses.iter().enumerate() {
                let path = list.index(i);
                service::ip(e, field(address, "ip"), &path.child("ip"));
                let host = text(field(address, "hostname"));
                if !host.is_empty() {
                    e.name(&path.child("hostname"), host, names::dns1123_label);
                }
                if let Some(node) = field(address, "nodeName").as_str() {
                    e.name(&path.child("nodeName"), node, names::dns1123_subdomain);
                }
                service::endpoint_ip(e, field(address, "ip"), &path.child("ip"));
            }
        }
        let ports = items(field(subset, "ports"));
        let list = path.child("ports");
        for (i, port) in ports.iter().enumerate() {
            let path = list.index(i);
            match text(field(port, "name")) {
                "" if ports.len() > 1 => e.required(&path.child("name"), ""),
                "" => {}
                name => e.name(&path.child("name"), name, names::dns1123_label),
            }
            probe::port(e, field(port, "port"), &path.child("port"));
            e.one_of(&path.child("protocol"), field(port, "protocol"), &["SCTP", "TCP", "UDP"]);
            if let Some(protocol) = field(port, "appProtocol").as_str() {
                e.name(&path.child("appProtocol"), protocol, names::qualified_name);
            }
        }
    }
}

pub(super) fn runtime_class(e: &mut Errors, object: &Value, old: Option<&Value>) {
    if let Some(old) = old {
        e.immutable(&Path::root("handler"), field(object, "handler"), field(old, "handler"));
    }
    e.name(&Path::root("handler"), text(field(object, "handler")), names::dns1123_label);
    let overhead = Path::root("overhead");
    resources::overhead(e, deep(object, &["overhead", "podFixed"]), &overhead.child("podFixed"));
    let scheduling = Path::root("scheduling");
    super::metadata::labels(e, deep(object, &["scheduling", "nodeSelector"]), &scheduling.child("nodeSelector"));
    scheduling::tolerations(e, deep(object, &["scheduling", "tolerations"]), &scheduling.child("tolerations"));
}

/// What keeps a namespace has a name like the finalizers of objects.
pub(super) fn namespace(e: &mut Errors, object: &Value) {
    let spec = Path::root("spec");
    let path = spec.child("finalizers");
    for finalizer in items(deep(object, &["spec", "finalizers"])) {
        let name = text(finalizer);
        e.name(&path, name, names::qualified_name);
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            e.invalid(&path, finalizer, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

/// `TokenRequest`, the body of `serviceaccounts/token`.
pub(super) fn token_request(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let seconds = field(spec, "expirationSeconds");
    let at = path.child("expirationSeconds");
    match seconds.as_i64() {
        Some(s) if s < 600 => e.invalid(&at, seconds, "may not specify a duration less than 10 minutes"),
        Some(s) if s > 1 << 32 => e.invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds"),
        _ => {}
    }
}

/// A selector that a request carries: as it was written, or what it requires. `key` has what else is asked of keys.
fn selector_attributes(e: &mut Errors, selector: &Value, path: &Path<'_>, key: fn(&mut Errors, &Path<'_>, &str)) {
    if selector.is_null() {
        return;
    }
    let (raw, requirements) = (field(selector, "rawSelector"), items(field(selector, "requirements")));
    if !text(raw).is_empty() && !requirements.is_empty() {
        e.invalid(&path.child("rawSelector"), raw, "may not specified at the same time as requirements");
    }
    let list = path.child("requirements");
    if text(raw).is_empty() && requirements.is_empty() {
        e.required(&list, &format!("when {path} is specified, requirements or rawSelector is required"));
    }
    for (i, requirement) in requirements.iter().enumerate() {
        let at = list.index(i);
        let name = text(field(requirement, "key"));
        // A label's key is a name in any case; a field's only has to be there.
        if name.is_empty() && path.to_string().ends_with("fieldSelector") {
            e.required(&at.child("key"), "must be specified");
        }
        let values = items(field(requirement, "values"));
        match text(field(requirement, "operator")) {
            "In" | "NotIn" if values.is_empty() => {
                e.required(&at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                e.forbidden(&at.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            // Operators that are not known may be known to whoever asks.
            _ => {}
        }
        key(e, &at.child("key"), name);
    }
}

/// `SubjectAccessReview` and its relatives.
pub(super) fn access_review(e: &mut Errors, object: &Value, kind: &str) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let (resource, other) = (field(spec, "resourceAttributes"), field(spec, "nonResourceAttributes"));
    // Kubernetes quotes its internal type, which has no JSON names.
    let shown = |other: &Value| {
        let part = |key: &str| text(field(other, key));
        format!("{{\"Path\":{:?},\"Verb\":{:?}}}", part("path"), part("verb"))
    };
    if !resource.is_null() && !other.is_null() {
        let why = "cannot be specified in combination with resourceAttributes";
        e.invalid_shown(&path.child("nonResourceAttributes"), &shown(other), why);
    }
    if resource.is_null() && other.is_null() {
        let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        e.invalid(&path.child("resourceAttributes"), &Value::Null, detail);
    }
    if kind != "SelfSubjectAccessReview" && text(field(spec, "user")).is_empty() && items(field(spec, "groups")).is_empty() {
        e.invalid(&path.child("user"), &"".into(), "at least one of user or group must be specified");
    }
    if !resource.is_null() {
        let at = path.child("resourceAttributes");
        selector_attributes(e, field(resource, "fieldSelector"), &at.child("fieldSelector"), |_, _, _| {});
        selector_attributes(e, field(resource, "labelSelector"), &at.child("labelSelector"), |e, path, key| {
            e.name(path, key, object::names::qualified_name);
        });
    }
    // A question has no name; who owns its fields is written down all the same.
    let metadata = field(object, "metadata");
    let local = kind == "LocalSubjectAccessReview";
    let said = |key: &str| key != "managedFields" && !(local && key == "namespace");
    if metadata.as_object().into_iter().flatten().any(|(key, value)| said(key) && !value.is_null()) {
        let why = if local { "must be empty except for namespace" } else { "must be empty" };
        e.invalid(&Path::root("metadata"), metadata, why);
    }
    let namespace = deep(object, &["metadata", "namespace"]);
    if kind == "LocalSubjectAccessReview" && field(resource, "namespace") != namespace {
        let at = path.child("resourceAttributes");
        e.invalid(&at.child("namespace"), &text(field(resource, "namespace")).into(), "must match metadata.namespace");
    }
    if kind == "LocalSubjectAccessReview" && !other.is_null() {
        e.invalid_shown(&path.child("nonResourceAttributes"), &shown(other), "disallowed on this kind of request");
    }
}
