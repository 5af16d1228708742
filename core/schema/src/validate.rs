//! Validation: everything that is wrong with an object, in Kubernetes' words and order (`pkg/apis/*/validation`).
//!
//! An object comes here decoded, defaulted and in the version in which it is stored; types and formats hold already.
//! [`metadata`] is the same for all kinds; what else a kind demands is in the module of its group. A kind without
//! rules is valid when its metadata is.

mod affinity;
mod apps;
mod autoscaling;
mod batch;
mod config;
mod container;
mod drivers;
mod environment;
mod errors;
mod fixed;
mod machinery;
mod metadata;
mod mounts;
mod networking;
mod others;
mod pod;
mod pod_update;
mod policies;
mod probe;
mod projected;
mod quota;
mod rbac;
mod resize;
mod resources;
mod scheduling;
mod security;
mod selector;
mod service;
mod sources;
mod status;
mod storage;
mod upgrade;
mod volume;
mod webhooks;
mod windows;

use object::value::at;
use object::{Cause, Value};

use crate::resource::Resource;
use errors::{Errors, Path};

/// What is wrong with a new object; empty if nothing is.
pub fn create(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut errors = Errors::default();
    metadata::create(&mut errors, resource, object);
    spec(&mut errors, resource, object, None);
    let mut causes = errors.take();
    if let Some(custom) = &resource.custom {
        causes.extend(crate::crd::validate_object(resource, custom, object, None));
    } else if is_definition(resource) {
        // The definition says itself what its name must be.
        causes.retain(|cause| cause.field != "metadata.name");
        causes.extend(crate::crd::validate_create(object));
    }
    causes
}

/// What is wrong with a changed object. `subresource` is `""`, or the one through which the change comes: `status`
/// changes are checked for metadata only.
pub fn update(resource: &Resource, object: &Value, old: &Value, subresource: &str) -> Vec<Cause> {
    let mut errors = Errors::default();
    // The registry checks metadata, and the kind's own validation does so again: Kubernetes reports both.
    metadata::update(&mut errors, object, old);
    metadata::update(&mut errors, object, old);
    match subresource {
        "" | "ephemeralcontainers" | "resize" => {
            pod_or_spec(&mut errors, resource, object, old, subresource);
        }
        "status" => reported(&mut errors, resource, object, old),
        _ => {}
    }
    let mut causes = errors.take();
    match (&resource.custom, subresource) {
        (Some(custom), "" | "scale") => causes.extend(crate::crd::validate_object(resource, custom, object, Some(old))),
        (Some(custom), "status") => causes.extend(crate::crd::validate_status(custom, object, old)),
        (None, "") if is_definition(resource) => causes.extend(crate::crd::validate_update(object, old)),
        _ => {}
    }
    causes
}

fn is_definition(resource: &Resource) -> bool {
    &*resource.kind.group == "apiextensions.k8s.io"
}

/// What is wrong with an object that is an action and is never stored (reviews, and bodies of subresources such as
/// TokenRequest): it needs no name.
pub fn action(group: &str, kind: &str, object: &Value) -> Vec<Cause> {
    let mut errors = Errors::default();
    match (group, kind) {
        ("authentication.k8s.io", "TokenRequest") => others::token_request(&mut errors, object),
        ("authorization.k8s.io", "SelfSubjectRulesReview") => {}
        ("authorization.k8s.io", kind) => others::access_review(&mut errors, object, kind),
        _ => {}
    }
    errors.take()
}

/// The rules of a status that somebody reports.
fn reported(errors: &mut Errors, resource: &Resource, object: &Value, old: &Value) {
    status::counts(errors, &resource.kind.kind, object, old);
    match (&*resource.kind.group, &*resource.kind.kind) {
        ("", "Service") => {
            service::load_balancer_status(errors, deep(object, &["status", "loadBalancer"]), Some(object));
        }
        ("networking.k8s.io", "Ingress") => {
            service::load_balancer_status(errors, deep(object, &["status", "loadBalancer"]), None);
        }
        ("", "Pod") => status::pod(errors, object, old),
        ("", "Namespace") => status::namespace(errors, object),
        ("autoscaling", "HorizontalPodAutoscaler") => status::autoscaler(errors, object),
        ("", "ResourceQuota") => quota::status(errors, object),
        ("", "Node") => others::node_resources(errors, object),
        ("policy", "PodDisruptionBudget") => fixed::budget_status(errors, object),
        ("certificates.k8s.io", "CertificateSigningRequest") => fixed::certificate_status(errors, object),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => policies::status(errors, object),
        _ => {}
    }
}

fn pod_or_spec(errors: &mut Errors, resource: &Resource, object: &Value, old: &Value, subresource: &str) {
    match (&*resource.kind.group, &*resource.kind.kind, subresource) {
        ("", "Pod", "ephemeralcontainers") => pod_update::ephemeral_containers(errors, object, old),
        ("", "Pod", "resize") => resize::check(errors, object, old),
        ("", "Pod", "") => pod_update::update(errors, object, old),
        (_, _, "") => spec(errors, resource, object, Some(old)),
        _ => {}
    }
}

/// The rules of the kind.
fn spec(errors: &mut Errors, resource: &Resource, object: &Value, old: Option<&Value>) {
    let e = errors;
    if let Some(old) = old {
        unchanged(e, resource, object, old);
    }
    match (&*resource.kind.group, &*resource.kind.kind) {
        ("", "Pod") => pod::pod(e, object),
        ("", "PodTemplate") => pod::template(e, field(object, "template"), &Path::root("template")),
        ("", "Service") => service::service(e, object, old),
        ("", "ConfigMap") => config::config_map(e, object, old),
        ("", "Secret") => config::secret(e, object, old),
        ("", "ReplicationController") => apps::replication_controller(e, object),
        ("", "Namespace") if old.is_none() => others::namespace(e, object),
        ("", "PersistentVolumeClaim") => storage::claim(e, object, old),
        ("", "PersistentVolume") => storage::volume(e, object),
        ("", "Event") => config::event(e, object),
        ("", "LimitRange") => quota::limit_range(e, object),
        ("", "ResourceQuota") => quota::resource_quota(e, object, old),
        ("apps", "Deployment") => apps::deployment(e, object, old),
        ("apps", "ReplicaSet") => apps::replica_set(e, object, old),
        ("apps", "StatefulSet") => apps::stateful_set(e, object, old),
        ("apps", "DaemonSet") => apps::daemon_set(e, object, old),
        ("batch", "Job") => batch::job(e, object, old),
        ("batch", "CronJob") => batch::cron_job(e, object, old),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaling::autoscaler(e, object),
        ("policy", "PodDisruptionBudget") => autoscaling::disruption_budget(e, object),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => rbac::role(e, object, &resource.kind.kind),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            rbac::binding(e, object, old, &resource.kind.kind);
        }
        ("scheduling.k8s.io", "PriorityClass") => storage::priority_class(e, object, old),
        ("storage.k8s.io", "StorageClass") => storage::storage_class(e, object, old),
        ("coordination.k8s.io", "Lease") => config::lease(e, object),
        ("networking.k8s.io", "NetworkPolicy") => networking::network_policy(e, object),
        ("networking.k8s.io", "Ingress") => networking::ingress(e, object, old),
        ("networking.k8s.io", "IngressClass") => networking::ingress_class(e, object, old),
        ("", "Node") => others::node(e, object, old),
        ("", "Endpoints") => others::endpoints(e, object),
        ("discovery.k8s.io", "EndpointSlice") => others::endpoint_slice(e, object, old),
        ("node.k8s.io", "RuntimeClass") => others::runtime_class(e, object, old),
        ("storage.k8s.io", "CSIDriver") => drivers::driver(e, object),
        ("storage.k8s.io", "CSINode") => drivers::node(e, object),
        ("storage.k8s.io", "CSIStorageCapacity") => drivers::capacity(e, object),
        ("storage.k8s.io", "VolumeAttachment") => drivers::attachment(e, object),
        ("storage.k8s.io", "VolumeAttributesClass") => drivers::attributes_class(e, object),
        ("networking.k8s.io", "IPAddress") if old.is_none() => networking::address(e, object),
        ("apiregistration.k8s.io", "APIService") => machinery::api_service(e, object),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => machinery::flow_schema(e, object),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => machinery::priority_level(e, object),
        ("certificates.k8s.io", "CertificateSigningRequest") if old.is_none() => machinery::signing_request(e, object),
        ("networking.k8s.io", "ServiceCIDR") => fixed::service_cidr(e, object, old),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            webhooks::configuration(e, object);
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => policies::validating(e, object),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => policies::validating_binding(e, object),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => policies::mutating(e, object),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding") => policies::mutating_binding(e, object),
        _ => {}
    }
}

/// What may not change of the kind, where that is all there is to its updates.
fn unchanged(e: &mut Errors, resource: &Resource, object: &Value, old: &Value) {
    let (group, kind) = (&*resource.kind.group, &*resource.kind.kind);
    match (group, kind) {
        ("", "Node") => fixed::node(e, object, old),
        ("", "PersistentVolume") => fixed::volume(e, object, old),
        ("storage.k8s.io", "CSINode") => fixed::csi_node(e, object, old),
        ("storage.k8s.io", "VolumeAttributesClass") => fixed::attributes_class(e, object, old),
        _ => fixed::fields(e, group, kind, object, old),
    }
}

static NULL: Value = Value::Null;

/// The field, or null.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&NULL)
}

/// The value at a path, or null.
fn deep<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    at(value, path).unwrap_or(&NULL)
}

#[cfg(test)]
mod tests;
