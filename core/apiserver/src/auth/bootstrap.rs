//! The roles and bindings that every cluster has, brought up to date at each start: what was taken from them comes back,
//! what was added stays, unless their annotation says to leave them alone.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation>

use object::value::{self, list_at, str_at};
use object::{GroupResource, Time, Value, json};
use store::Key;

use super::escalation::{breakdown, covers};
use super::rbac::{GROUP, RoleRef, Rule, rules_of};
use crate::client::{Client, gvr};
use crate::identity::UserInfo;
use crate::server::ApiServer;

/// Kubernetes v1.35's own, as data.
const DEFAULTS: &str = include_str!("bootstrap.json");

const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// What the document calls each resource, what it is called in the API, and its kind.
const RESOURCES: [(&str, &str, &str); 4] = [
    ("clusterRoles", "clusterroles", "ClusterRole"),
    ("clusterRoleBindings", "clusterrolebindings", "ClusterRoleBinding"),
    ("roles", "roles", "Role"),
    ("roleBindings", "rolebindings", "RoleBinding"),
];

/// Makes what is missing and completes what is there.
pub fn run(api: &mut ApiServer, now: Time) {
    let Ok(defaults) = serde_json::from_str::<Value>(DEFAULTS) else { return };
    let user = UserInfo::apiserver();
    for (list, resource, kind) in RESOURCES {
        for wanted in list_at(&defaults, &[list]) {
            reconcile(&mut api.client(now, &user), resource, &complete(wanted, kind));
        }
    }
}

/// The whole object of an entry.
fn complete(entry: &Value, kind: &str) -> Value {
    let mut object = entry.clone();
    let mut labels = value::remove(&mut object, &["labels"]).unwrap_or_else(|| json!({}));
    value::set(&mut labels, &["kubernetes.io/bootstrapping"], "rbac-defaults");
    let mut metadata = json!({"annotations": {AUTOUPDATE: "true"}, "labels": labels});
    for key in ["name", "namespace"] {
        if let Some(said) = value::remove(&mut object, &[key]) {
            value::set(&mut metadata, &[key], said);
        }
    }
    value::set(&mut object, &["metadata"], metadata);
    value::set(&mut object, &["apiVersion"], format!("{GROUP}/v1"));
    value::set(&mut object, &["kind"], kind);
    object
}

fn reconcile(client: &mut Client<'_>, resource: &'static str, wanted: &Value) {
    let (namespace, name) = (str_at(wanted, &["metadata", "namespace"]), str_at(wanted, &["metadata", "name"]));
    let resource = gvr(GROUP, "v1", resource);
    let stored = client.store().get(&Key::new(&GroupResource::new(GROUP, &resource.resource), namespace, name)).cloned();
    // What fails here, failed because somebody made the name unusable; the others are still worth having.
    let Some(stored) = stored else {
        let _ = client.create(&resource, namespace, wanted.clone());
        return;
    };
    let current = stored.value();
    if object::meta::annotation(&current, AUTOUPDATE) == Some("false") {
        return;
    }
    if wanted.get("roleRef").is_some() && RoleRef::of(wanted) != RoleRef::of(&current) {
        let _ = client.delete(&resource, namespace, name, &Default::default());
        let _ = client.create(&resource, namespace, wanted.clone());
        return;
    }
    let mut new = current.clone();
    add_missing(&mut new, wanted, "subjects", |there, wanted| there.contains(wanted));
    // The rules of an aggregated role are the aggregation's.
    if wanted.get("aggregationRule").is_none() {
        let held = rules_of(&current);
        add_missing(&mut new, wanted, "rules", |_, wanted| {
            breakdown(&Rule::of(wanted)).iter().all(|single| held.iter().any(|held| covers(held, single)))
        });
    } else if let Some(rule) = wanted.get("aggregationRule").filter(|_| current.get("aggregationRule").is_none()) {
        value::set(&mut new, &["aggregationRule"], rule.clone());
    }
    for part in ["labels", "annotations"] {
        let more = wanted["metadata"][part].as_object().cloned().unwrap_or_default();
        value::object_at(&mut new, &["metadata", part]).extend(more);
    }
    if new != current {
        let _ = client.update(&resource, namespace, name, new);
    }
}

/// Adds the entries of a list that are not there yet in some form.
fn add_missing(object: &mut Value, wanted: &Value, field: &str, there: impl Fn(&[Value], &Value) -> bool) {
    let mut list = list_at(object, &[field]).to_vec();
    let missing: Vec<Value> = list_at(wanted, &[field]).iter().filter(|entry| !there(&list, entry)).cloned().collect();
    if !missing.is_empty() {
        list.extend(missing);
        value::set(object, &[field], list);
    }
}
