//! The flow schemas and priority levels that every cluster has: the mandatory ones are always as Kubernetes has them, the
//! suggested ones as long as their annotation does not say that somebody else keeps them.
//!
//! <https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#maintenance-of-the-mandatory-and-suggested-configuration-objects>

use std::collections::BTreeSet;

use object::meta::annotation;
use object::value::{bool_at, i64_at, list_at, set, str_at};
use object::{GroupVersionResource, Time, Value, json};
use store::Key;

use super::{GROUP, LEVELS, SCHEMAS};
use crate::client::gvr;
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::write::{DeleteOptions, PatchKind};

/// Kubernetes v1.35's own, as data; what every schema has in common is left out.
const DEFAULTS: &str = include_str!("bootstrap.json");

const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// Who keeps the specs, and who the statuses, in the names of field managers.
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";

/// An object that every cluster has.
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Whether nobody may change it.
    pub mandatory: bool,
    /// Its spec, with everything that defaulting would add.
    pub spec: Value,
}

/// The priority levels and the flow schemas.
pub fn defaults() -> (Vec<Wanted>, Vec<Wanted>) {
    let data: Value = serde_json::from_str(DEFAULTS).unwrap_or_default();
    let of = |list: &str, spec: fn(&Value) -> Value| {
        list_at(&data, &[list])
            .iter()
            .map(|entry| Wanted {
                name: str_at(entry, &["name"]).to_owned(),
                mandatory: bool_at(entry, &["mandatory"]),
                spec: entry.get("spec").cloned().unwrap_or_else(|| spec(entry)),
            })
            .collect()
    };
    (of("levels", limited), of("schemas", schema))
}

fn limited(entry: &Value) -> Value {
    let response = match entry.get("queues") {
        Some(queues) => {
            let queuing = json!({"queues": queues, "handSize": entry["hand"], "queueLengthLimit": 50});
            json!({"type": "Queue", "queuing": queuing})
        }
        None => json!({"type": "Reject"}),
    };
    let limited =
        json!({"nominalConcurrencyShares": entry["shares"], "lendablePercent": entry["lendable"], "limitResponse": response});
    json!({"type": "Limited", "limited": limited})
}

fn schema(entry: &Value) -> Value {
    let names = |list: &str| list_at(entry, &[list]).to_vec();
    let mut subjects: Vec<Value> = Vec::new();
    subjects.extend(names("users").into_iter().map(|name| json!({"kind": "User", "user": {"name": name}})));
    subjects.extend(names("groups").into_iter().map(|name| json!({"kind": "Group", "group": {"name": name}})));
    let account = |name| json!({"kind": "ServiceAccount", "serviceAccount": {"name": name, "namespace": "kube-system"}});
    subjects.extend(names("accounts").into_iter().map(account));
    let mut rule = json!({"subjects": subjects});
    match (entry.get("resourceRules"), entry.get("nonResourceRules")) {
        (None, None) => {
            let all =
                json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}]);
            rule["resourceRules"] = all;
            rule["nonResourceRules"] = json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
        }
        (resources, paths) => {
            for (key, rules) in [("resourceRules", resources), ("nonResourceRules", paths)] {
                if let Some(rules) = rules {
                    rule[key] = rules.clone();
                }
            }
        }
    }
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": entry["level"]}, "matchingPrecedence": entry["precedence"], "rules": [rule],
    });
    if let Some(method) = entry.get("by") {
        spec["distinguisherMethod"] = json!({"type": method});
    }
    spec
}

/// Makes what is missing, and what was changed as it was; takes away what Kubernetes kept once and has no more.
pub fn ensure(api: &mut ApiServer, now: Time) {
    let (levels, schemas) = defaults();
    let (levels_gvr, schemas_gvr) = (gvr(GROUP, "v1", LEVELS), gvr(GROUP, "v1", SCHEMAS));
    for mandatory in [false, true] {
        for (gvr, kind, all) in [(&schemas_gvr, "FlowSchema", &schemas), (&levels_gvr, "PriorityLevelConfiguration", &levels)] {
            for wanted in all.iter().filter(|wanted| wanted.mandatory == mandatory) {
                ensure_one(api, now, gvr, kind, wanted);
            }
        }
    }
    for (gvr, all) in [(&schemas_gvr, &schemas), (&levels_gvr, &levels)] {
        let kept: BTreeSet<&str> = all.iter().map(|wanted| wanted.name.as_str()).collect();
        let resource = gvr.group_resource();
        let stored = api.store.list(&resource, None);
        let others = stored.filter(|o| !kept.contains(&*o.key.name) && annotation(&o.value(), AUTOUPDATE) == Some("true"));
        let others: Vec<String> = others.map(|object| object.key.name.to_string()).collect();
        for name in others {
            // Whoever stays is found again the next time.
            let _ = api.client(now, &UserInfo::apiserver()).delete(gvr, "", &name, &DeleteOptions::default());
        }
    }
}

fn ensure_one(api: &mut ApiServer, now: Time, gvr: &GroupVersionResource, kind: &str, wanted: &Wanted) {
    let user = UserInfo::apiserver();
    let stored = api.store.get(&Key::new(&gvr.group_resource(), "", &wanted.name)).map(|stored| stored.value());
    let mut client = api.client(now, &user).managed_by(PRODUCER);
    // What fails is tried again with the next round.
    let Some(stored) = stored else {
        let metadata = json!({"name": wanted.name, "annotations": {AUTOUPDATE: "true"}});
        let object = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata, "spec": wanted.spec});
        let _ = client.create(gvr, "", object);
        return;
    };
    let keeps = wanted.mandatory || is_ours(&stored);
    let spec = if keeps { spec_for(wanted, &stored) } else { stored["spec"].clone() };
    let said = if keeps { "true" } else { "false" };
    if stored["spec"] == spec && annotation(&stored, AUTOUPDATE) == Some(said) {
        return;
    }
    let mut new = stored;
    new["spec"] = spec;
    set(&mut new, &["metadata", "annotations", AUTOUPDATE], said);
    let _ = client.update(gvr, "", &wanted.name, new);
}

/// Whether a suggested object is still the API server's to change: as its annotation says, or else if nobody has changed it.
fn is_ours(stored: &Value) -> bool {
    match annotation(stored, AUTOUPDATE) {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
        _ => i64_at(stored, &["metadata", "generation"]) == Some(1),
    }
}

/// The spec that an object should have. What the exempt level lends is everybody's to say.
fn spec_for(wanted: &Wanted, stored: &Value) -> Value {
    match stored["spec"].get("exempt") {
        Some(exempt) if wanted.mandatory && wanted.spec.get("exempt").is_some() => {
            let mut spec = wanted.spec.clone();
            spec["exempt"] = exempt.clone();
            spec
        }
        _ => wanted.spec.clone(),
    }
}

/// Says of each flow schema whether its priority level is there.
pub fn mark(api: &mut ApiServer, now: Time) {
    let schemas = gvr(GROUP, "v1", SCHEMAS);
    let levels = gvr(GROUP, "v1", LEVELS).group_resource();
    let mut changes = Vec::new();
    for object in api.store.list(&schemas.group_resource(), None) {
        let schema = object.value();
        let level = str_at(&schema, &["spec", "priorityLevelConfiguration", "name"]);
        let (status, reason, what) = match api.store.get(&Key::new(&levels, "", level)) {
            Some(_) => ("False", "Found", "and it exists"),
            None => ("True", "NotFound", "but there is no such object"),
        };
        let message = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {what}");
        let conditions = list_at(&schema, &["status", "conditions"]);
        let said = conditions.iter().find(|condition| str_at(condition, &["type"]) == "Dangling");
        let is = |key: &str, wanted: &str| said.is_some_and(|said| str_at(said, &[key]) == wanted);
        if is("status", status) && is("reason", reason) && is("message", &message) {
            continue;
        }
        let condition = json!({
            "type": "Dangling", "status": status, "lastTransitionTime": now.rfc3339(), "reason": reason, "message": message,
        });
        let patch = json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "FlowSchema", "metadata": {"name": &*object.key.name},
            "status": {"conditions": [condition]},
        });
        changes.push((object.key.name.to_string(), patch));
    }
    let user = UserInfo::apiserver();
    for (name, patch) in changes {
        let mut client = api.client(now, &user).managed_by(CONSUMER);
        // The next change of a schema or level says it again.
        let _ = client.patch(&schemas, "", &name, "status", PatchKind::Apply, patch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn server() -> (ApiServer, Time) {
        let now = Time(1_700_000_000_000_000);
        let mut api = ApiServer::new(Settings::default());
        api.start(now, 0);
        (api, now)
    }

    fn read(api: &ApiServer, resource: &'static str, name: &str) -> Value {
        let stored = api.store.get(&Key::new(&gvr(GROUP, "v1", resource).group_resource(), "", name));
        stored.map(|stored| stored.value()).unwrap_or_default()
    }

    #[test]
    fn all_are_made_and_left_alone_once_they_are_right() {
        let (mut api, now) = server();
        let (levels, schemas) = defaults();
        assert_eq!((levels.len(), schemas.len()), (8, 13));
        let before = api.store.revision();
        ensure(&mut api, now);
        mark(&mut api, now);
        assert_eq!(api.store.revision(), before, "nothing is left to do after the start");
        for (resource, all) in [(LEVELS, levels), (SCHEMAS, schemas)] {
            for wanted in all {
                let stored = read(&api, resource, &wanted.name);
                assert_eq!(stored["spec"], wanted.spec, "{}", wanted.name);
                assert_eq!(annotation(&stored, AUTOUPDATE), Some("true"), "{}", wanted.name);
                if resource == SCHEMAS {
                    assert_eq!(stored["status"]["conditions"][0]["reason"], "Found", "{}", wanted.name);
                }
            }
        }
    }

    #[test]
    fn changes_are_kept_where_they_may_be() {
        for (name, resource, said, change, is_kept) in [
            ("a suggestion that somebody has taken over", LEVELS, "false", ("system", json!(77)), true),
            ("a suggestion that nobody has taken over", LEVELS, "true", ("system", json!(77)), false),
            ("a mandatory level", LEVELS, "false", ("catch-all", json!(77)), false),
        ] {
            let (mut api, now) = server();
            let (object, shares) = change;
            let mut changed = read(&api, resource, object);
            changed["spec"]["limited"]["nominalConcurrencyShares"] = shares.clone();
            set(&mut changed, &["metadata", "annotations", AUTOUPDATE], said);
            let user = UserInfo::apiserver();
            // The API refuses to change the mandatory ones, as Kubernetes does; what is there after a restore may differ.
            let done = api.client(now, &user).update(&gvr(GROUP, "v1", resource), "", object, changed);
            ensure(&mut api, now);
            let after = read(&api, resource, object);
            assert_eq!(after["spec"]["limited"]["nominalConcurrencyShares"] == shares, is_kept, "{name}: {done:?}");
        }
    }

    #[test]
    fn what_is_missing_comes_back_and_what_is_past_goes() {
        let (mut api, now) = server();
        let user = UserInfo::apiserver();
        let levels = gvr(GROUP, "v1", LEVELS);
        let _ = api.client(now, &user).delete(&levels, "", "global-default", &DeleteOptions::default());
        let mut old = read(&api, LEVELS, "system");
        old["metadata"] = json!({"name": "once", "annotations": {AUTOUPDATE: "true"}});
        api.client(now, &user).create(&levels, "", old.clone()).expect("made");
        old["metadata"] = json!({"name": "mine"});
        api.client(now, &user).create(&levels, "", old).expect("made");
        mark(&mut api, now);
        let dangling = &read(&api, SCHEMAS, "global-default")["status"]["conditions"][0];
        assert_eq!((dangling["status"].as_str(), dangling["reason"].as_str()), (Some("True"), Some("NotFound")));
        ensure(&mut api, now);
        assert!(read(&api, LEVELS, "global-default").is_object());
        assert!(read(&api, LEVELS, "once").is_null(), "what Kubernetes kept once and no longer has goes");
        assert!(read(&api, LEVELS, "mine").is_object());
    }
}
