//! What only some kinds do on their way into the store: the general rules first, then what a kind adds.
//!
//! Kubernetes calls these the registry strategies (`PrepareForCreate`, `PrepareForUpdate`, `CheckGracefulDelete`).

pub(crate) mod allocation;
pub mod bootstrap;
pub mod certificates;
pub mod connect;
pub mod crd;
pub mod eviction;
pub mod job;
pub mod node_proxy;
mod pod;
pub mod review;
pub mod scale;
pub mod service;
pub mod subresource;

use object::value::{self, at, i64_at, str_at};
use object::{Result, Time, Value, json};
use schema::Resource;

use crate::server::ApiServer;

/// Resources whose immediate deletion is answered with the object; all others with a Status.
const RETURN_DELETED: [&str; 9] = [
    "pods",
    "services",
    "serviceaccounts",
    "persistentvolumes",
    "persistentvolumeclaims",
    "podtemplates",
    "resourcequotas",
    "replicationcontrollers",
    "namespaces",
];

/// Whether an update of what is not there creates it (`AllowCreateOnUpdate`).
pub fn is_created_on_update(resource: &Resource) -> bool {
    match (&*resource.gvr.group, &*resource.gvr.resource) {
        ("", name) => matches!(name, "endpoints" | "events" | "limitranges" | "services"),
        ("events.k8s.io", "events") | ("coordination.k8s.io", "leases") | ("node.k8s.io", "runtimeclasses") => true,
        ("rbac.authorization.k8s.io", _) => true,
        _ => false,
    }
}

/// A new object has no status of its own making and is in its first generation.
pub fn prepare_for_create(api: &mut ApiServer, resource: &Resource, object: &mut Value) -> Result<()> {
    // A node comes with the status its kubelet found.
    let is_node = resource.gvr.group.is_empty() && &*resource.gvr.resource == "nodes";
    if resource.has_status() && !is_node {
        match resource.ty().field("status").filter(|_| resource.custom.is_none()) {
            Some(status) => value::set(object, &["status"], schema::decode::zero(status.ty(), 0)),
            None => drop(value::remove(object, &["status"])),
        }
    }
    if counts_generations(resource) {
        value::set(object, &["metadata", "generation"], 1);
    }
    match (&*resource.gvr.group, &*resource.gvr.resource) {
        ("apiextensions.k8s.io", "customresourcedefinitions") => crd::prepare_for_create(object),
        ("apiregistration.k8s.io", _) => crate::aggregation::prepare_for_create(object, api.now),
        ("", "pods") => {
            let qos = object::scheduling::qos_class(object.get("spec").unwrap_or(&Value::Null));
            value::set(object, &["status"], json!({"phase": "Pending", "qosClass": qos}));
            pod::apply_label_keys(object);
            if !value::list_at(object, &["spec", "schedulingGates"]).is_empty() {
                let gated = json!([{
                    "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "lastProbeTime": null,
                    "lastTransitionTime": api.now.rfc3339(), "message": "Scheduling is blocked due to non-empty scheduling gates",
                }]);
                value::set(object, &["status", "conditions"], gated);
            }
        }
        ("", "namespaces") => {
            value::set(object, &["spec", "finalizers"], json!(["kubernetes"]));
            value::set(object, &["status"], json!({"phase": "Active"}));
            let name = str_at(object, &["metadata", "name"]).to_owned();
            value::set(object, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
        }
        ("", "persistentvolumes") => {
            let now = api.now.rfc3339();
            value::set(object, &["status"], json!({"phase": "Pending", "lastPhaseTransitionTime": now}));
        }
        ("batch", "jobs") => job::generate_selector(object),
        ("", "services") => {
            value::set(object, &["status"], json!({"loadBalancer": {}}));
            service::allocate(api, None, object)?;
        }
        _ => {}
    }
    Ok(())
}

/// A DaemonSet counts the versions of its template in an annotation, a relic that its clients still see.
pub fn template_generation(resource: &Resource, old: Option<&Value>, new: &mut Value) {
    const ANNOTATION: &str = "deprecated.daemonset.template.generation";
    if (&*resource.gvr.group, &*resource.gvr.resource) != ("apps", "daemonsets") {
        return;
    }
    let generation = old.map_or(1, |old| {
        let before: i64 = object::meta::annotation(old, ANNOTATION).and_then(|text| text.parse().ok()).unwrap_or(1);
        before + i64::from(at(old, &["spec", "template"]) != at(new, &["spec", "template"]))
    });
    value::set(new, &["metadata", "annotations", ANNOTATION], generation.to_string());
}

/// The main resource cannot change the status, the status subresource nothing else; a change of the rest is a new generation.
pub fn prepare_for_update(
    api: &mut ApiServer,
    resource: &Resource,
    subresource: &str,
    old: &Value,
    new: &mut Value,
) -> Result<()> {
    if subresource == "approval" {
        certificates::prepare_for_approval(old, new);
        return Ok(());
    }
    let is_pod = resource.gvr.group.is_empty() && &*resource.gvr.resource == "pods";
    if is_pod && matches!(subresource, "resize" | "ephemeralcontainers") {
        pod::keep_the_rest(subresource, old, new);
    }
    if subresource == "status" {
        keep_all_but_status(resource, old, new);
        if certificates::is_request(resource) {
            certificates::prepare_for_status(old, new);
        }
        // Old kubelets leave a pod's class out; it never changes.
        if is_pod
            && str_at(new, &["status", "qosClass"]).is_empty()
            && let Some(class) = at(old, &["status", "qosClass"])
        {
            value::set(new, &["status", "qosClass"], class.clone());
        }
        return Ok(());
    }
    if resource.has_status() {
        match old.get("status") {
            Some(status) => value::set(new, &["status"], status.clone()),
            None => drop(value::remove(new, &["status"])),
        }
    }
    if certificates::is_request(resource) {
        value::set(new, &["spec"], old.get("spec").cloned().unwrap_or_default());
    }
    if subresource != "finalize" && &*resource.gvr.resource == "namespaces" && resource.gvr.group.is_empty() {
        value::set(new, &["spec", "finalizers"], value::list_at(old, &["spec", "finalizers"]).to_vec());
    }
    if &*resource.gvr.group == "apiextensions.k8s.io" {
        crd::prepare_for_update(new);
    }
    if counts_generations(resource) && !desired(resource, old).eq(desired(resource, new)) {
        let generation = i64_at(old, &["metadata", "generation"]).unwrap_or(0);
        value::set(new, &["metadata", "generation"], generation + 1);
    }
    if resource.gvr.group.is_empty() && &*resource.gvr.resource == "services" {
        service::allocate(api, Some(old), new)?;
    }
    Ok(())
}

/// What a write of the status leaves as it was.
fn keep_all_but_status(resource: &Resource, old: &Value, new: &mut Value) {
    // Metadata may come along (a Deployment's revision is an annotation); only a Deployment keeps its labels.
    let sent: &[&str] = match (&resource.custom, &*resource.gvr.group, &*resource.gvr.resource) {
        (Some(_), ..) => &["managedFields"],
        (None, "apps", "deployments") => &["annotations", "finalizers", "managedFields"],
        _ => &["annotations", "finalizers", "labels", "managedFields"],
    };
    let mut metadata = value::remove(new, &["metadata"]).filter(Value::is_object).unwrap_or_else(|| json!({}));
    keep_all_but(sent, at(old, &["metadata"]), &mut metadata);
    keep_all_but(&["metadata", "status"], Some(old), new);
    value::set(new, &["metadata"], metadata);
}

/// Puts back all fields but some. Most are the same, and finding that out costs less than a copy.
fn keep_all_but(fields: &[&str], old: Option<&Value>, new: &mut Value) {
    let (Some(Value::Object(old)), Value::Object(new)) = (old, new) else { return };
    new.retain(|key, _| fields.contains(&key.as_str()) || old.contains_key(key));
    for (key, kept) in old {
        if !fields.contains(&key.as_str()) && new.get(key) != Some(kept) {
            new.insert(key.clone(), kept.clone());
        }
    }
}

/// Built-in kinds whose strategies count generations, by group.
const WITH_GENERATION: [(&str, &[&str]); 10] = [
    ("", &["pods", "podtemplates", "replicationcontrollers"]),
    ("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
    ("batch", &["cronjobs", "jobs"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("policy", &["poddisruptionbudgets"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    ("networking.k8s.io", &["ingressclasses", "ingresses", "networkpolicies"]),
    ("flowcontrol.apiserver.k8s.io", &["flowschemas", "prioritylevelconfigurations"]),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("resource.k8s.io", &["deviceclasses", "resourceslices"]),
];

fn counts_generations(resource: &Resource) -> bool {
    let (group, name) = (&*resource.gvr.group, &*resource.gvr.resource);
    resource.custom.is_some()
        || group == "admissionregistration.k8s.io"
        || WITH_GENERATION.iter().any(|(g, names)| *g == group && names.contains(&name))
}

/// What a generation is counted of: everything but metadata and status. A custom resource without a status subresource has
/// no status but a field of that name.
fn desired<'a>(resource: &Resource, object: &'a Value) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let status_counts = resource.custom.is_some() && !resource.has_status();
    let counts = move |key: &str| key != "metadata" && (status_counts || key != "status");
    object.as_object().into_iter().flatten().filter(move |(key, _)| counts(key))
}

/// Whether an object that is being deleted has nothing left to wait for.
pub fn is_finished(object: &Value) -> bool {
    at(object, &["metadata", "deletionTimestamp"]).is_some()
        && i64_at(object, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0
        && value::list_at(object, &["metadata", "finalizers"]).is_empty()
        && namespace_finalizers(object) == 0
}

/// Whether objects are given time to end.
pub fn is_graceful(resource: &Resource) -> bool {
    &*resource.gvr.resource == "pods" && resource.gvr.group.is_empty()
}

/// How long this deletion waits for the object to end by itself. Only pods are given time.
pub fn grace_period(resource: &Resource, object: &Value, asked: Option<i64>) -> i64 {
    if !is_graceful(resource) {
        return 0;
    }
    let unscheduled = str_at(object, &["spec", "nodeName"]).is_empty();
    if unscheduled || matches!(str_at(object, &["status", "phase"]), "Succeeded" | "Failed") {
        return 0;
    }
    let own = i64_at(object, &["spec", "terminationGracePeriodSeconds"]).unwrap_or(30);
    // A negative period means "at once, but let the node confirm", which Kubernetes turns into one second.
    let period = asked.unwrap_or(own);
    if period < 0 { 1 } else { period }
}

/// Namespaces have finalizers of their own kind, in their spec.
pub fn namespace_finalizers(object: &Value) -> usize {
    if object.get("kind").is_some_and(|k| k == "Namespace") { value::list_at(object, &["spec", "finalizers"]).len() } else { 0 }
}

/// A definition waits for its objects.
pub fn waits_for_instances(resource: &Resource) -> bool {
    &*resource.gvr.group == "apiextensions.k8s.io"
}

/// What changes at once when deletion begins.
pub fn begin_deletion(resource: &Resource, object: &mut Value, now: Time) {
    if &*resource.gvr.group == "apiextensions.k8s.io" {
        crd::begin_deletion(object, now);
    }
    if &*resource.gvr.resource == "namespaces" && resource.gvr.group.is_empty() {
        value::set(object, &["status", "phase"], "Terminating");
    }
}

/// Whether an immediate deletion is answered with the object.
pub fn returns_deleted_object(resource: &Resource) -> bool {
    resource.gvr.group.is_empty() && RETURN_DELETED.contains(&&*resource.gvr.resource)
}
