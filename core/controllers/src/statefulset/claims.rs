//! The storage of a StatefulSet's pods: claims from its templates, and whose they are, so that they go as its policy says.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention>

use std::sync::Arc;

use apiserver::gvr;
use object::events::EventType;
use object::value::{at, bool_at, list_at, object_at, set, str_at};
use object::{ApiError, GroupVersionResource, Reason, Result, Value, json};
use store::{Key, Object};

use super::{STATEFUL_SET, Work};
use crate::context::Context;
use crate::history::name_of;
use crate::pod_control::ordinal;

fn claims() -> GroupVersionResource {
    gvr("", "v1", "persistentvolumeclaims")
}

/// Whose a claim should be.
struct Owners {
    set: bool,
    pod: bool,
}

fn owners_of(claim: &Value) -> &[Value] {
    list_at(claim, &["metadata", "ownerReferences"])
}

/// Whether a reference is to a pod of this name.
fn is_pod(owner: &Value, name: &str) -> bool {
    str_at(owner, &["apiVersion"]) == "v1" && str_at(owner, &["kind"]) == "Pod" && str_at(owner, &["name"]) == name
}

impl Work<'_> {
    /// The names of a pod's claims, with their templates.
    fn claims_of(&self, pod: &str) -> Vec<(String, &Value)> {
        let Some(ordinal) = ordinal(&self.key.name, pod) else { return Vec::new() };
        let templates = list_at(self.set, &["spec", "volumeClaimTemplates"]).iter();
        templates.map(|template| (format!("{}-{}-{ordinal}", name_of(template), self.key.name), template)).collect()
    }

    fn claim(&self, cx: &Context<'_>, name: &str) -> Option<Arc<Object>> {
        cx.get(&Key::new(&claims().group_resource(), &self.key.namespace, name))
    }

    fn policy(&self, when: &str) -> bool {
        str_at(self.set, &["spec", "persistentVolumeClaimRetentionPolicy", when]) == "Delete"
    }

    /// Mounts a pod's claims; what the template has under the same names gives way.
    pub fn mount(&self, name: &str, pod: &mut Value) {
        let wanted = self.claims_of(name);
        if wanted.is_empty() {
            return;
        }
        let mut volumes: Vec<Value> = Vec::new();
        for (claim, template) in &wanted {
            volumes.push(json!({"name": name_of(template), "persistentVolumeClaim": {"claimName": claim}}));
        }
        let others = list_at(pod, &["spec", "volumes"]).iter();
        let others = others.filter(|known| wanted.iter().all(|(_, template)| str_at(known, &["name"]) != name_of(template)));
        volumes.extend(others.cloned());
        set(pod, &["spec", "volumes"], volumes);
    }

    /// Makes the claims that a pod misses.
    pub fn make_claims(&self, cx: &mut Context<'_>, pod: &str) -> Result<()> {
        let mut outcome = Ok(());
        for (name, template) in self.claims_of(pod) {
            let done = match self.claim(cx, &name) {
                Some(claim) if claim.meta.deletion_timestamp.is_some() => {
                    Err(ApiError::new(500, Reason::InternalError, format!("pvc {name} is being deleted")))
                }
                Some(_) => Ok(()),
                None => self.make_claim(cx, template, &name, pod),
            };
            outcome = outcome.and(done);
        }
        outcome
    }

    fn make_claim(&self, cx: &mut Context<'_>, template: &Value, name: &str, pod: &str) -> Result<()> {
        let mut metadata = at(template, &["metadata"]).cloned().unwrap_or_else(|| json!({}));
        set(&mut metadata, &["name"], name);
        for (key, value) in at(self.set, &["spec", "selector", "matchLabels"]).and_then(Value::as_object).into_iter().flatten() {
            object_at(&mut metadata, &["labels"]).insert(key.clone(), value.clone());
        }
        let spec = template.get("spec").cloned().unwrap_or_default();
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec});
        let of = format!("create Claim {name} Pod {pod} in StatefulSet {}", self.key.name);
        match cx.client().create(&claims(), &self.key.namespace, claim) {
            Ok(_) => cx.event(self.set, EventType::Normal, "SuccessfulCreate", &format!("{of} success")),
            Err(error) => {
                if !error.is_pending() && !error.is_already_exists() {
                    cx.event(self.set, EventType::Warning, "FailedCreate", &format!("{of} failed error: {error}"));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether a claim of this pod still goes with the pod that had its name before.
    pub fn has_stale_claim(&self, cx: &Context<'_>, pod: &str) -> bool {
        self.policy("whenScaled")
            && self.claims_of(pod).iter().any(|(name, _)| {
                let claim = self.claim(cx, name).map(|claim| claim.value());
                claim.is_some_and(|claim| owners_of(&claim).iter().any(|owner| is_pod(owner, pod)))
            })
    }

    /// Who should own the claims of a pod that stays, or of one that is taken away.
    fn owners(&self, condemned: bool) -> Owners {
        match (self.policy("whenScaled"), self.policy("whenDeleted")) {
            (false, deleted) => Owners { set: deleted, pod: false },
            (true, deleted) => Owners { set: deleted && !condemned, pod: condemned },
        }
    }

    fn is_set(&self, owner: &Value) -> bool {
        str_at(owner, &["kind"]) == "StatefulSet" && str_at(owner, &["name"]) == &*self.key.name
    }

    /// Whether somebody else, or a former set or pod of the same name, has a claim: then it is left alone.
    fn is_foreign(&self, claim: &Value, pod: &Object) -> bool {
        owners_of(claim).iter().any(|owner| {
            let uid = str_at(owner, &["uid"]);
            if self.is_set(owner) {
                uid != str_at(self.set, &["metadata", "uid"])
            } else if is_pod(owner, &pod.key.name) {
                uid != pod.meta.uid
            } else {
                bool_at(owner, &["controller"])
            }
        })
    }

    /// The owners a claim should have; `None` if it has them.
    fn right_owners(&self, claim: &Value, pod: &Object, condemned: bool) -> Option<Vec<Value>> {
        let wanted = self.owners(condemned);
        let set_uid = str_at(self.set, &["metadata", "uid"]);
        let of = |owner: &Value, uid: &str| str_at(owner, &["uid"]) == uid && bool_at(owner, &["controller"]);
        let all = owners_of(claim);
        let has = |uid: &str| all.iter().any(|owner| of(owner, uid));
        let ours = |owner: &Value| [set_uid, pod.meta.uid.as_str()].contains(&str_at(owner, &["uid"]));
        let is_right = has(set_uid) == wanted.set && has(&pod.meta.uid) == wanted.pod;
        if is_right && all.iter().all(|owner| !ours(owner) || bool_at(owner, &["controller"])) {
            return None;
        }
        let mut owners: Vec<Value> = all.iter().filter(|owner| !ours(owner)).cloned().collect();
        if wanted.set {
            owners.push(STATEFUL_SET.reference(self.set));
        }
        if wanted.pod {
            owners.push(json!({
                "apiVersion": "v1", "kind": "Pod", "name": &*pod.key.name, "uid": pod.meta.uid, "controller": true,
                "blockOwnerDeletion": true,
            }));
        }
        Some(owners)
    }

    /// Whether a pod's claims belong to whom they should.
    pub fn claims_match(&self, cx: &Context<'_>, pod: &Object, condemned: bool) -> bool {
        self.claims_of(&pod.key.name).iter().all(|(name, _)| {
            let claim = self.claim(cx, name).map(|claim| claim.value());
            claim.is_none_or(|claim| self.is_foreign(&claim, pod) || self.right_owners(&claim, pod, condemned).is_none())
        })
    }

    /// Gives a pod's claims the owners that the set's policy asks for.
    pub fn keep_claims(&self, cx: &mut Context<'_>, pod: &Object, condemned: bool) -> Result<()> {
        for (name, _) in self.claims_of(&pod.key.name) {
            let Some(mut claim) = self.claim(cx, &name).map(|claim| claim.value()) else { continue };
            if self.is_foreign(&claim, pod) {
                let message = format!(
                    "PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a managing controller, the \
                     retention policy is ignored for this claim"
                );
                cx.event(self.set, EventType::Warning, "ConflictingController", &message);
                continue;
            }
            let Some(owners) = self.right_owners(&claim, pod, condemned) else { continue };
            set(&mut claim, &["metadata", "ownerReferences"], owners);
            match cx.client().update(&claims(), &self.key.namespace, &name, claim) {
                Err(error) if error.is_not_found() => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}
