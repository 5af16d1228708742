//! Requests, limits and claims of containers and pods, and which resources there can be.

use std::collections::BTreeSet;

use object::quantity::Quantity;
use object::scheduling::pod_quantities;
use object::{Value, names};

use super::errors::{Errors, NOT_NEGATIVE, Path, items, text};
use super::{deep, field};

/// Whose resources they are: what may be named differs.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    Container,
    Pod,
}

/// `ValidateContainerResourceRequirements`. `claims` are the names of the pod's claims.
pub(super) fn container(e: &mut Errors, resources: &Value, claims: Option<&BTreeSet<&str>>, path: &Path<'_>) {
    requirements(e, resources, Of::Container, path);
    claim_names(e, field(resources, "claims"), claims, &path.child("claims"));
}

/// What a runtime needs beside the containers: limits only.
pub(super) fn overhead(e: &mut Errors, overhead: &Value, path: &Path<'_>) {
    if !overhead.is_null() {
        requirements(e, &serde_json::json!({"limits": overhead}), Of::Container, path);
    }
}

/// `validatePodResources`: resources of the pod as a whole bound those of its containers.
pub(super) fn pod(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let resources = field(spec, "resources");
    if resources.is_null() {
        return;
    }
    if !field(resources, "claims").is_null() {
        e.forbidden(&path.child("claims"), "claims cannot be set for Resources at pod-level");
    }
    requirements(e, resources, Of::Pod, path);
    let requests = path.child("requests");
    let containers =
        serde_json::json!({"containers": field(spec, "containers"), "initContainers": field(spec, "initContainers")});
    for (name, sum) in pod_quantities(&containers, "requests").iter().filter(|(name, _)| is_for_pods(name)) {
        let of_pod = Quantity::from_json(deep(resources, &["requests", name])).unwrap_or_default();
        if *sum > of_pod {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            e.invalid(&requests.key(name), &of_pod.to_string().into(), &detail);
        }
    }
    let list = path.child("containers");
    for (i, container) in items(field(spec, "containers")).iter().enumerate() {
        for (name, amount) in deep(container, &["resources", "limits"]).as_object().into_iter().flatten() {
            let most = Quantity::from_json(deep(resources, &["limits", name]));
            if let (Some(limit), Some(most)) = (Quantity::from_json(amount), most)
                && limit > most
            {
                let detail = format!("must be less than or equal to pod limits of {most}");
                e.invalid(&list.index(i).key(name).child("limits"), &limit.to_string().into(), &detail);
            }
        }
    }
}

fn requirements(e: &mut Errors, resources: &Value, of: Of, path: &Path<'_>) {
    let (limits, requests) = (field(resources, "limits"), field(resources, "requests"));
    let (limits_at, requests_at) = (path.child("limits"), path.child("requests"));
    let (mut huge, mut other) = (false, false);
    let mut note = |name: &str| {
        huge |= name.starts_with("hugepages-");
        other |= matches!(name, "cpu" | "memory");
    };
    for (name, amount) in limits.as_object().into_iter().flatten() {
        note(name);
        resource(e, name, amount, of, &limits_at.key(name));
        huge_pages(e, name, amount, &limits_at.key(name));
    }
    for (name, amount) in requests.as_object().into_iter().flatten() {
        note(name);
        resource(e, name, amount, of, &requests_at.key(name));
        let (Some(request), limit) = (Quantity::from_json(amount), Quantity::from_json(field(limits, name))) else { continue };
        match limit {
            Some(limit) if !may_overcommit(name) && request != limit => {
                e.invalid(&requests_at, &request.to_string().into(), &format!("must be equal to {name} limit of {limit}"));
            }
            Some(limit) if request > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                e.invalid(&requests_at, &request.to_string().into(), &detail);
            }
            Some(_) => {}
            None if !may_overcommit(name) => {
                e.required(&limits_at, "Limit must be set for non overcommitable resources");
            }
            None => {}
        }
        huge_pages(e, name, amount, &requests_at.key(name));
    }
    if huge && !other {
        e.forbidden(path, "HugePages require cpu or memory");
    }
}

/// Name and amount.
fn resource(e: &mut Errors, name: &str, amount: &Value, of: Of, path: &Path<'_>) {
    match of {
        Of::Container => container_resource_name(e, name, path),
        Of::Pod => {
            let before = e.len();
            resource_name(e, name, path);
            if e.len() == before && !is_for_pods(name) {
                e.unsupported(path, &name.into(), &["cpu", "memory"]);
            }
        }
    }
    quantity(e, name, amount, path);
}

/// `ValidateResourceQuantityValue`.
pub(super) fn quantity(e: &mut Errors, name: &str, amount: &Value, path: &Path<'_>) {
    let Some(quantity) = Quantity::from_json(amount) else { return };
    let shown = Value::from(quantity.to_string());
    if quantity.sign() < 0 {
        e.invalid(path, &shown, NOT_NEGATIVE);
    }
    if is_counted(name) && quantity.milli_value() % 1_000 != 0 {
        e.invalid(path, &shown, "must be an integer");
    }
}

fn huge_pages(e: &mut Errors, name: &str, amount: &Value, path: &Path<'_>) {
    let Some(quantity) = Quantity::from_json(amount) else { return };
    let Some(page) = name.strip_prefix("hugepages-").and_then(Quantity::parse) else { return };
    let size = page.value();
    if size <= 0 || quantity.value() % size != 0 {
        let detail = format!("{quantity} is not positive integer multiple of {name}");
        e.invalid(path, &quantity.to_string().into(), &detail);
    }
}

/// `validateResourceName`.
pub(super) fn resource_name(e: &mut Errors, name: &str, path: &Path<'_>) {
    let wrong = names::qualified_name(name);
    if wrong.is_empty() && !name.contains('/') && !is_standard(name) {
        e.invalid(path, &name.into(), "must be a standard resource type or fully qualified");
    }
    e.all(path, &name.into(), wrong);
}

/// `validateContainerResourceName`.
pub(super) fn container_resource_name(e: &mut Errors, name: &str, path: &Path<'_>) {
    resource_name(e, name, path);
    if !name.contains('/') {
        if !is_for_containers(name) {
            e.invalid(path, &name.into(), "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        e.invalid(path, &name.into(), "doesn't follow extended resource name standard");
    }
}

/// `ValidateResourceQuotaResourceName`.
pub(super) fn quota_resource_name(e: &mut Errors, name: &str, path: &Path<'_>) {
    resource_name(e, name, path);
    if !name.contains('/') && !is_for_quota(name) {
        e.invalid(path, &name.into(), "must be a standard resource for quota");
    }
}

/// `validateResourceClaimNames`.
fn claim_names(e: &mut Errors, claims: &Value, known: Option<&BTreeSet<&str>>, path: &Path<'_>) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (i, claim) in items(claims).iter().enumerate() {
        let at = path.index(i);
        let (name, request) = (text(field(claim, "name")), text(field(claim, "request")));
        if name.is_empty() {
            e.required(&at, "");
            continue;
        }
        if seen.contains(name) {
            e.duplicate(&at, &name.into());
        } else {
            let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{request}") };
            if !request.is_empty() {
                e.name(&at.child("request"), request, names::dns1123_label);
            }
            let part = format!("{name}/");
            if seen.contains(&key) {
                e.duplicate(&at, &key.as_str().into());
            } else if request.is_empty() {
                for _ in seen.iter().filter(|seen| seen.starts_with(&part)) {
                    e.duplicate(&at, &name.into());
                }
            }
            seen.insert(key);
        }
        let Some(known) = known.filter(|known| !known.contains(name)) else { continue };
        let list: Vec<&str> = known.iter().copied().collect();
        let where_ = if list.is_empty() { " which is empty".to_owned() } else { format!(": {}", list.join(", ")) };
        e.not_found_in(&at, name, &format!("must be one of the names in pod.spec.resourceClaims{where_}"));
    }
}

/// `validatePodResourceClaims`.
pub(super) fn pod_claims(e: &mut Errors, claims: &[Value], path: &Path<'_>) {
    let mut seen = BTreeSet::new();
    for (i, claim) in claims.iter().enumerate() {
        let at = path.index(i);
        match text(field(claim, "name")) {
            "" => e.required(&at.child("name"), ""),
            name if !seen.insert(name) => e.duplicate(&at.child("name"), &name.into()),
            name => e.name(&at.child("name"), name, names::dns1123_label),
        }
        let keys = ["resourceClaimName", "resourceClaimTemplateName"];
        let detail = match keys.iter().filter(|key| !field(claim, key).is_null()).count() {
            0 => "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            1 => "",
            _ => "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
        };
        if !detail.is_empty() {
            e.invalid_shown(&at, &crate::internal::compact("PodResourceClaim", claim), detail);
        }
        for key in keys {
            if let Some(name) = field(claim, key).as_str() {
                e.name(&at.child(key), name, names::dns1123_subdomain);
            }
        }
    }
}

fn is_for_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

fn is_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

/// `IsStandardQuotaResourceName`.
pub(super) fn is_for_quota(name: &str) -> bool {
    name != "storage" && is_standard(name)
}

fn is_standard(name: &str) -> bool {
    is_for_containers(name)
        || name.starts_with("requests.hugepages-")
        || matches!(
            name,
            "requests.cpu"
                | "requests.memory"
                | "requests.ephemeral-storage"
                | "limits.cpu"
                | "limits.memory"
                | "limits.ephemeral-storage"
                | "storage"
                | "requests.storage"
        )
        || is_object_count(name)
}

fn is_object_count(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    )
}

/// `IsIntegerResourceName`.
fn is_counted(name: &str) -> bool {
    is_object_count(name) || is_extended(name)
}

/// `IsNativeResource`.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// `IsExtendedResourceName`: quotas put a word in front of it, and it must still be a name.
fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

/// `IsOvercommitAllowed`.
pub(super) fn may_overcommit(name: &str) -> bool {
    is_native(name) && !name.starts_with("hugepages-")
}
