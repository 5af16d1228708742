//! ClusterRoles that are made of others: their rules are those of all roles that their selectors select.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles>

use apiserver::{PatchKind, gvr};
use object::selector::LabelSelector;
use object::value::{at, list_at};
use object::{GroupResource, Result, Value, json};
use store::{Event, Key, Store, View};

use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

const GROUP: &str = "rbac.authorization.k8s.io";

fn roles() -> GroupResource {
    GroupResource::literal(GROUP, "clusterroles")
}

/// Whether a role is made of others.
struct IsMade(bool);

impl View for IsMade {
    fn of(role: &Value) -> Self {
        IsMade(at(role, &["aggregationRule"]).is_some_and(Value::is_object))
    }
}

/// Puts roles together.
pub struct ClusterRoleAggregation;

impl Controller for ClusterRoleAggregation {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn changed(&mut self, store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let roles = roles();
        if event.key().resource != roles {
            return;
        }
        // Any role may be a part of any other.
        for role in store.list(&roles, None).filter(|role| role.view::<IsMade>().0) {
            queue.add(role.key.clone());
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(stored) = cx.get(key) else { return Ok(()) };
        let role = stored.value();
        let selectors = list_at(&role, &["aggregationRule", "clusterRoleSelectors"]);
        if !stored.view::<IsMade>().0 || stored.meta.deletion_timestamp.is_some() {
            return Ok(());
        }
        let selectors: Vec<LabelSelector> = selectors.iter().filter_map(|one| LabelSelector::from_json(one).ok()).collect();
        let mut rules: Vec<Value> = Vec::new();
        // By selector, then by name; a rule that is there already adds nothing.
        for selector in &selectors {
            for other in cx.store().list(&roles(), None) {
                if other.key != *key && selector.matches(&other.meta.labels) {
                    for rule in list_at(&other.value(), &["rules"]) {
                        if !rules.contains(rule) {
                            rules.push(rule.clone());
                        }
                    }
                }
            }
        }
        if list_at(&role, &["rules"]) == rules {
            return Ok(());
        }
        let wanted = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": &*key.name}, "rules": rules,
        });
        let roles = gvr(GROUP, "v1", "clusterroles");
        cx.client().managed_by(self.name()).patch(&roles, "", &key.name, "", PatchKind::Apply, wanted).map(drop)
    }
}
