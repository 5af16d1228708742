//! Requests and limits (`ValidateContainerResourceRequirements`).

use object::quantity::Quantity;
use object::{Value, names};

use super::errors::{Errors, NOT_NEGATIVE, Path};
use super::field;

pub(super) fn container(e: &mut Errors, resources: &Value, path: &Path<'_>) {
    let (limits, requests) = (field(resources, "limits"), field(resources, "requests"));
    let (limits_at, requests_at) = (path.child("limits"), path.child("requests"));
    let (mut huge, mut other) = (false, false);
    let mut note = |name: &str| {
        huge |= name.starts_with("hugepages-");
        other |= matches!(name, "cpu" | "memory");
    };
    for (name, amount) in limits.as_object().into_iter().flatten() {
        note(name);
        resource(e, name, amount, &limits_at.key(name));
    }
    for (name, amount) in requests.as_object().into_iter().flatten() {
        note(name);
        resource(e, name, amount, &requests_at.key(name));
        let (Some(request), limit) = (Quantity::from_json(amount), Quantity::from_json(field(limits, name))) else { continue };
        let overcommit = may_overcommit(name);
        match limit {
            Some(limit) if request > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                e.invalid(&requests_at, &request.to_string().into(), &detail);
            }
            Some(limit) if !overcommit && request != limit => {
                e.invalid(&requests_at, &request.to_string().into(), &format!("must be equal to {name} limit of {limit}"));
            }
            Some(_) => {}
            // A resource that cannot exist gets no second complaint.
            None if !overcommit && is_known(name) => {
                e.required(&limits_at, "Limit must be set for non overcommitable resources");
            }
            None => {}
        }
    }
    if huge && !other {
        e.forbidden(path, "HugePages require cpu or memory");
    }
}

/// Name and amount.
fn resource(e: &mut Errors, name: &str, amount: &Value, path: &Path<'_>) {
    let value = Value::from(name);
    e.all(path, &value, names::qualified_name(name));
    if !name.contains('/') && !is_standard(name) {
        e.invalid(path, &value, "must be a standard resource type or fully qualified");
        e.invalid(path, &value, "must be a standard resource for containers");
    } else if !name.contains('/') && !is_for_containers(name) {
        e.invalid(path, &value, "must be a standard resource for containers");
    }
    let Some(quantity) = Quantity::from_json(amount) else { return };
    let shown = Value::from(quantity.to_string());
    if quantity.sign() < 0 {
        e.invalid(path, &shown, NOT_NEGATIVE);
    }
    if let Some(page) = name.strip_prefix("hugepages-").and_then(Quantity::parse) {
        let size = page.value();
        if size <= 0 || quantity.value() % size != 0 {
            e.invalid(path, &shown, &format!("{quantity} is not positive integer multiple of {name}"));
        }
    }
    if is_extended(name) && quantity.milli_value() % 1_000 != 0 {
        e.invalid(path, &shown, "must be an integer");
    }
}

fn is_for_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

fn is_standard(name: &str) -> bool {
    is_for_containers(name)
        || matches!(
            name,
            "requests.cpu"
                | "requests.memory"
                | "requests.ephemeral-storage"
                | "limits.cpu"
                | "limits.memory"
                | "limits.ephemeral-storage"
                | "pods"
                | "resourcequotas"
                | "services"
                | "replicationcontrollers"
                | "secrets"
                | "configmaps"
                | "persistentvolumeclaims"
                | "storage"
                | "requests.storage"
                | "services.nodeports"
                | "services.loadbalancers"
        )
}

fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/")
}

fn may_overcommit(name: &str) -> bool {
    !is_extended(name) && !name.starts_with("hugepages-")
}

fn is_known(name: &str) -> bool {
    name.contains('/') || is_standard(name)
}
