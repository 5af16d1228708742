//! Taint eviction: pods leave nodes whose `NoExecute` taints they do not tolerate, or no longer.
//!
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions>

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver::UserInfo;
use object::events::EventType;
use object::scheduling::{Taint, Toleration};
use object::value::i64_at;
use object::{Result, Time, Value, json};
use store::{Event, Key, Object, Store};

use super::{NodeView, delete, nodes, patch_status, pods};
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::pod::PodView;
use crate::queue::WorkQueue;

/// Evicts pods by taints.
#[derive(Default)]
pub struct TaintEvictionController {
    /// Pods that tolerate their node's taints for a while: since when, and until when.
    scheduled: BTreeMap<Key, (Time, Time)>,
}

impl Controller for TaintEvictionController {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    /// It works with the role of the node controller, as on Kubernetes.
    fn user(&self) -> UserInfo {
        UserInfo::service_account("kube-system", "node-controller")
    }

    fn changed(&mut self, _store: &Store, index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource == nodes() {
            let taints = |node: &Arc<Object>| node.view::<NodeView>().no_execute().cloned().collect::<Vec<_>>();
            let (old, new) = (event.old.as_ref().map(taints), event.new.as_ref().map(taints));
            if old.unwrap_or_default() != new.unwrap_or_default() {
                index.pods_on(&key.name).for_each(|pod| queue.add(pod.clone()));
            }
        } else if key.resource == pods() {
            let same = |(old, new): (&Arc<Object>, &Arc<Object>)| {
                let (old, new) = (old.view::<PodView>(), new.view::<PodView>());
                old.node == new.node && old.tolerations == new.tolerations
            };
            if !event.old.as_ref().zip(event.new.as_ref()).is_some_and(same) {
                queue.add(key.clone());
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(pod) = cx.get(key) else {
            self.cancel(cx, key);
            return Ok(());
        };
        let view = pod.view::<PodView>();
        if view.node.is_empty() {
            return Ok(());
        }
        let Some(node) = cx.get(&Key::new(&nodes(), "", &view.node)) else { return Ok(()) };
        let taints: Vec<&Value> = node.view::<NodeView>().no_execute().collect();
        match patience(&taints, &view.tolerations) {
            Patience::Forever => self.cancel(cx, key),
            Patience::Seconds(seconds) => {
                let since = self.scheduled.get(key).map_or(cx.now, |(since, _)| *since);
                let until = since.plus_secs(seconds);
                if until <= cx.now {
                    self.scheduled.remove(key);
                    return evict(cx, key);
                }
                self.scheduled.insert(key.clone(), (since, until));
                cx.queue.add_at(key.clone(), until);
            }
            Patience::None => {
                self.cancel(cx, key);
                return evict(cx, key);
            }
        }
        Ok(())
    }
}

impl TaintEvictionController {
    fn cancel(&mut self, cx: &mut Context<'_>, key: &Key) {
        if self.scheduled.remove(key).is_some() {
            let message = format!("Cancelling deletion of Pod {}/{}", key.namespace, key.name);
            say(cx, key, &message);
        }
    }
}

/// Events about evictions name the pod and nothing else of it.
fn say(cx: &mut Context<'_>, key: &Key, message: &str) {
    let about = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"namespace": &*key.namespace, "name": &*key.name}});
    cx.event(&about, EventType::Normal, "TaintManagerEviction", message);
}

fn evict(cx: &mut Context<'_>, key: &Key) -> Result<()> {
    let Some(pod) = cx.get(key).filter(|pod| pod.meta.deletion_timestamp.is_none()) else { return Ok(()) };
    say(cx, key, &format!("Marking for deletion Pod {}/{}", key.namespace, key.name));
    let why = ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint");
    patch_status(cx, &pod, None, Some(why))?;
    delete(cx, &pod, None)
}

/// How long a pod bears its node's taints.
#[derive(Debug, PartialEq)]
enum Patience {
    None,
    Seconds(u64),
    Forever,
}

fn patience(taints: &[&Value], tolerations: &[Value]) -> Patience {
    let mut least: Option<u64> = None;
    for taint in taints {
        let Some(toleration) = tolerations.iter().find(|toleration| tolerates(toleration, taint)) else { return Patience::None };
        if let Some(seconds) = i64_at(toleration, &["tolerationSeconds"]) {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            least = Some(least.map_or(seconds, |least| least.min(seconds)));
        }
    }
    least.map_or(Patience::Forever, Patience::Seconds)
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let (toleration, taint) = (serde_json::from_value(toleration.clone()), serde_json::from_value(taint.clone()));
    toleration.ok().zip(taint.ok()).is_some_and(|(toleration, taint): (Toleration, Taint)| toleration.tolerates(&taint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_that_of_the_least_patient_toleration() {
        let taint = |key: &str| json!({"key": key, "effect": "NoExecute", "value": "v"});
        let exists = |key: &str, seconds: Value| json!({"key": key, "operator": "Exists", "tolerationSeconds": seconds});
        let (a, b) = (taint("a"), taint("b"));
        for (name, taints, tolerations, expected) in [
            ("no taint", vec![], vec![], Patience::Forever),
            ("no toleration", vec![&a], vec![], Patience::None),
            ("one of two", vec![&a, &b], vec![exists("a", Value::Null)], Patience::None),
            ("for ever", vec![&a], vec![exists("a", Value::Null)], Patience::Forever),
            ("the shorter", vec![&a, &b], vec![exists("a", json!(300)), exists("b", json!(60))], Patience::Seconds(60)),
            ("negative is at once", vec![&a], vec![exists("a", json!(-5))], Patience::Seconds(0)),
            ("the first that fits", vec![&a], vec![exists("a", Value::Null), exists("", json!(1))], Patience::Forever),
            ("another value", vec![&a], vec![json!({"key": "a", "value": "w"})], Patience::None),
            ("another effect", vec![&a], vec![json!({"key": "a", "value": "v", "effect": "NoSchedule"})], Patience::None),
        ] {
            assert_eq!(patience(&taints, &tolerations), expected, "{name}");
        }
    }
}
