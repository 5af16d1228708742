//! A Deployment and its ReplicaSets as one reconciliation sees them.

use object::order::Order as _;
use std::sync::Arc;

use apiserver::{PatchKind, gvr};
use object::events::EventType;
use object::selector::LabelSelector;
use object::value::{at, bool_at, i64_at, list_at, str_at};
use object::{Result, Value, json};
use store::Object;

use super::DEPLOYMENT;
use super::replicasets;
use crate::context::Context;

pub const HASH_LABEL: &str = "pod-template-hash";
pub const REVISION: &str = "deployment.kubernetes.io/revision";
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// The Deployment and what belongs to it.
pub struct Plan {
    pub key: store::Key,
    /// The Deployment as it is stored now.
    pub deployment: Value,
    /// Its ReplicaSets, oldest first.
    pub sets: Vec<Value>,
    pub replicas: i64,
    pub paused: bool,
    pub recreates: bool,
    /// Rounded up from `maxSurge`.
    pub max_surge: i64,
    /// Rounded down from `maxUnavailable`, never more than there are replicas.
    pub max_unavailable: i64,
}

impl Plan {
    /// Reads the Deployment, its ReplicaSets, and adopts those that match and belong to nobody.
    pub fn new(cx: &mut Context<'_>, object: &Arc<Object>) -> Result<Self> {
        let deployment = object.value();
        let selector = at(&deployment, &["spec", "selector"])
            .and_then(|s| LabelSelector::from_json(s).ok())
            .unwrap_or_else(LabelSelector::nothing);
        let uid = object.meta.uid.clone();
        let namespace = object.key.namespace.clone();
        let mut sets = Vec::new();
        for set in cx.owned(&replicasets(), &uid) {
            if set.meta.controller().is_some_and(|o| o.uid == uid) {
                if selector.matches(&set.meta.labels) {
                    sets.push(set.value());
                } else if object.meta.deletion_timestamp.is_none() {
                    let patch = json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": uid}], "uid": set.meta.uid}});
                    cx.client().patch(
                        &gvr("apps", "v1", "replicasets"),
                        &namespace,
                        &set.key.name,
                        "",
                        PatchKind::Strategic,
                        patch,
                    )?;
                }
            }
        }
        if object.meta.deletion_timestamp.is_none() && !selector.is_empty() {
            let orphans: Vec<Arc<Object>> =
                cx.index.uncontrolled(&replicasets(), &namespace).filter_map(|key| cx.get(key)).collect();
            for set in orphans.iter().filter(|s| selector.matches(&s.meta.labels) && s.meta.deletion_timestamp.is_none()) {
                let patch = json!({"metadata": {"ownerReferences": [DEPLOYMENT.reference(&deployment)], "uid": set.meta.uid}});
                let name = &set.key.name;
                sets.push(Arc::unwrap_or_clone(cx.client().patch(
                    &gvr("apps", "v1", "replicasets"),
                    &namespace,
                    name,
                    "",
                    PatchKind::Strategic,
                    patch,
                )?));
            }
        }
        sets.order_by(|a, b| age_key(a).cmp(&age_key(b)));
        let replicas = i64_at(&deployment, &["spec", "replicas"]).unwrap_or(0);
        let rolling = |key: &str, up: bool| scaled(at(&deployment, &["spec", "strategy", "rollingUpdate", key]), replicas, up);
        let recreates = str_at(&deployment, &["spec", "strategy", "type"]) == "Recreate";
        let (mut max_surge, mut max_unavailable) = (0, 0);
        if !recreates {
            (max_surge, max_unavailable) = (rolling("maxSurge", true), rolling("maxUnavailable", false));
            if max_surge == 0 && max_unavailable == 0 {
                // Percentages may round to nothing; a rollout must still get ahead.
                max_unavailable = 1;
            }
            max_unavailable = max_unavailable.min(replicas);
        }
        let paused = bool_at(&deployment, &["spec", "paused"]);
        Ok(Plan { key: object.key.clone(), deployment, sets, replicas, paused, recreates, max_surge, max_unavailable })
    }

    /// Index of the ReplicaSet whose template is the Deployment's; the oldest where several are.
    pub fn new_set(&self) -> Option<usize> {
        let template = at(&self.deployment, &["spec", "template"])?;
        self.sets.iter().position(|set| same_template(template, at(set, &["spec", "template"]).unwrap_or(&Value::Null)))
    }

    /// Indexes of all other ReplicaSets.
    pub fn old_sets(&self) -> Vec<usize> {
        let new = self.new_set();
        (0..self.sets.len()).filter(|i| Some(*i) != new).collect()
    }

    /// Those that should have pods.
    pub fn active(&self, among: &[usize]) -> Vec<usize> {
        among.iter().copied().filter(|i| spec_replicas(&self.sets[*i]) > 0).collect()
    }

    /// Pods asked for by all ReplicaSets.
    pub fn total(&self) -> i64 {
        self.sets.iter().map(spec_replicas).sum()
    }

    /// Whether the number of replicas changed since the ReplicaSets were sized.
    pub fn is_scaling_event(&self) -> bool {
        self.sets.iter().filter(|set| spec_replicas(set) > 0).any(|set| number(set, DESIRED).is_some_and(|d| d != self.replicas))
    }

    /// How many pods the new ReplicaSet may have now.
    pub fn new_set_size(&self, current: i64) -> i64 {
        if self.recreates {
            return self.replicas;
        }
        let room = self.replicas + self.max_surge - self.total();
        if room <= 0 { current } else { current + room.min(self.replicas - current) }
    }

    /// Sets the size of a ReplicaSet, and what it should know of the Deployment's.
    pub fn scale_set(&mut self, cx: &mut Context<'_>, index: usize, size: i64) -> Result<bool> {
        let old_size = spec_replicas(&self.sets[index]);
        let mut set = self.sets[index].clone();
        object::value::set(&mut set, &["spec", "replicas"], size);
        self.annotate_size(&mut set);
        if set == self.sets[index] {
            return Ok(false);
        }
        let name = str_at(&set, &["metadata", "name"]).to_owned();
        let namespace = self.key.namespace.clone();
        self.sets[index] = Arc::unwrap_or_clone(cx.client().update(&gvr("apps", "v1", "replicasets"), &namespace, &name, set)?);
        if size == old_size {
            return Ok(false);
        }
        let direction = if size > old_size { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {name} from {old_size} to {size}");
        cx.event(&self.deployment, EventType::Normal, "ScalingReplicaSet", &message);
        Ok(true)
    }

    /// Writes the Deployment's size into a ReplicaSet's annotations.
    pub fn annotate_size(&self, set: &mut Value) {
        object::value::set(set, &["metadata", "annotations", DESIRED], self.replicas.to_string());
        object::value::set(set, &["metadata", "annotations", MAX], (self.replicas + self.max_surge).to_string());
    }
}

fn age_key(set: &Value) -> (&str, &str) {
    (str_at(set, &["metadata", "creationTimestamp"]), str_at(set, &["metadata", "name"]))
}

/// `spec.replicas`.
pub fn spec_replicas(set: &Value) -> i64 {
    i64_at(set, &["spec", "replicas"]).unwrap_or(0)
}

/// A number of the status.
pub fn status_number(set: &Value, key: &str) -> i64 {
    i64_at(set, &["status", key]).unwrap_or(0)
}

/// An annotation that is a number.
pub fn number(set: &Value, annotation: &str) -> Option<i64> {
    object::meta::annotation(set, annotation).and_then(|text| text.parse().ok())
}

/// An absolute number, or a percentage of the replicas.
fn scaled(value: Option<&Value>, replicas: i64, up: bool) -> i64 {
    match value {
        Some(Value::Number(number)) => number.as_i64().unwrap_or(0),
        Some(Value::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent.saturating_mul(replicas);
            if up { (product + 99).div_euclid(100) } else { product.div_euclid(100) }
        }
        _ => 0,
    }
}

/// Whether two pod templates are the same but for the hash label.
pub fn same_template(a: &Value, b: &Value) -> bool {
    without_hash(a) == without_hash(b)
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    object::value::remove(&mut template, &["metadata", "labels", HASH_LABEL]);
    if at(&template, &["metadata", "labels"]).is_some_and(|labels| labels.as_object().is_some_and(serde_json::Map::is_empty)) {
        object::value::remove(&mut template, &["metadata", "labels"]);
    }
    object::value::remove(&mut template, &["metadata", "creationTimestamp"]);
    template
}

/// The conditions of an object.
pub fn conditions(object: &Value) -> &[Value] {
    list_at(object, &["status", "conditions"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surge_rounds_up_and_unavailable_rounds_down() {
        for (value, replicas, up, expect) in [
            (json!("25%"), 3, true, 1),
            (json!("25%"), 3, false, 0),
            (json!(2), 3, true, 2),
            (json!("100%"), 7, false, 7),
            (json!("50%"), 5, true, 3),
        ] {
            assert_eq!(scaled(Some(&value), replicas, up), expect, "{value} of {replicas}");
        }
        assert_eq!(scaled(None, 3, true), 0);
    }

    #[test]
    fn templates_are_compared_without_their_hash() {
        let a = json!({"metadata": {"labels": {"app": "a"}}, "spec": {}});
        let b = json!({"metadata": {"labels": {"app": "a", "pod-template-hash": "x"}}, "spec": {}});
        assert!(same_template(&a, &b));
        assert!(!same_template(&a, &json!({"metadata": {"labels": {"app": "b"}}, "spec": {}})));
    }
}
