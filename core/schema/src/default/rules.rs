//! Defaults that depend on other fields. Each rule names the Go function it follows.

mod autoscaling;
mod batch;
mod core;
mod others;

use object::{Map, Value};

/// A rule on a struct, run before its fields are defaulted themselves.
pub(super) type TypeRule = fn(&mut Map<String, Value>);
/// A rule on a whole object, run before everything else.
pub(super) type KindRule = fn(&mut Value);

/// The rule that holds wherever this type is used.
pub(super) fn of_type(name: &str) -> Option<TypeRule> {
    let (package, short) = name.strip_prefix("io.k8s.api.")?.rsplit_once('.')?;
    Some(match (package, short) {
        ("core.v1", "Container" | "EphemeralContainer") => core::container,
        ("core.v1", "ImageVolumeSource") => core::image_volume,
        ("core.v1", "PodSpec") => core::pod_spec,
        ("core.v1", "PodStatus") => core::pod_status,
        ("core.v1", "Volume") => core::volume,
        ("core.v1", "ServiceSpec") => core::service_spec,
        ("core.v1", "LoadBalancerIngress") => core::load_balancer_ingress,
        ("core.v1", "LimitRangeItem") => core::limit_range_item,
        ("apps.v1", "DeploymentStrategy" | "DaemonSetUpdateStrategy" | "StatefulSetUpdateStrategy") => others::update_strategy,
        ("networking.v1", "NetworkPolicySpec") => others::network_policy_spec,
        ("rbac.v1", "RoleRef") => others::role_ref,
        ("rbac.v1", "Subject") => others::subject,
        ("resource.v1", "ExactDeviceRequest" | "DeviceSubRequest") => others::device_request,
        ("autoscaling.v2", "HorizontalPodAutoscalerSpec") => autoscaling::spec,
        ("autoscaling.v2", "HorizontalPodAutoscalerBehavior") => autoscaling::behavior,
        _ => return None,
    })
}

/// The rule of this kind, in all its versions.
pub(super) fn of_kind(group: &str, kind: &str) -> Option<KindRule> {
    Some(match (group, kind) {
        ("", "Pod") => core::pod,
        ("", "Namespace") => core::namespace,
        ("", "PersistentVolumeClaim") => core::persistent_volume_claim,
        ("", "Secret") => core::secret,
        ("", "ReplicationController") => core::replication_controller,
        ("apps", "StatefulSet") => others::stateful_set,
        ("apps", "DaemonSet") => others::daemon_set,
        ("batch", "Job") => batch::job,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => others::custom_resource_definition,
        _ => return None,
    })
}

/// Sets `key` where it is missing.
fn or_insert(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    let slot = map.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value.into();
    }
}

/// The text at `key`, or `""`.
fn text<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or("")
}
