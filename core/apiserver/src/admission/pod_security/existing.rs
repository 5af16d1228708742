//! What a namespace that is to enforce more already holds.

use std::collections::BTreeMap;

use object::value::str_at;
use object::{GroupResource, Value};

use super::{Attributes, Level, policy};
use crate::server::ApiServer;

/// So many pods are looked at.
const MOST_PODS: usize = 3000;

/// Warns of pods that are there and would not be let in any more.
pub(super) fn warn(api: &mut ApiServer, attributes: &Attributes<'_>, namespace: &Value) {
    let Some(old) = attributes.old else { return };
    let config = api.settings.pod_security.clone();
    let (enforced, before) = (policy(&config, namespace, "enforce").0, policy(&config, old, "enforce").0);
    if enforced.level < before.level || enforced == before || enforced.level == Level::Privileged {
        return;
    }
    let name = attributes.name;
    let pods = GroupResource::literal("", "pods");
    // The reasons, without their details, and whom they concern.
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut count = 0;
    for pod in api.store.list(&pods, Some(name)) {
        count += 1;
        if count > MOST_PODS {
            continue;
        }
        let pod = pod.value();
        let part = |key: &str| pod.get(key).unwrap_or(&Value::Null);
        if config.exempts(name, &attributes.user.name, part("spec")).is_some() {
            continue;
        }
        let reasons = enforced.violations(part("metadata"), part("spec"));
        if !reasons.is_empty() {
            let short: Vec<&str> = reasons.iter().map(|reason| reason.split(" (").next().unwrap_or(reason)).collect();
            found.entry(short.join(", ")).or_default().push(str_at(&pod, &["metadata", "name"]).to_owned());
        }
    }
    if count > MOST_PODS {
        api.warnings
            .push(format!("new PodSecurity enforce level only checked against the first {MOST_PODS} of {count} existing pods"));
    }
    if found.is_empty() {
        return;
    }
    let shown = enforced.to_string();
    api.warnings.push(format!("existing pods in namespace {name:?} violate the new PodSecurity enforce level {shown:?}"));
    let mut list: Vec<String> = found
        .into_iter()
        .map(|(reasons, pods)| {
            let first = pods.iter().min().cloned().unwrap_or_default();
            match pods.len() {
                1 => format!("{first}: {reasons}"),
                2 => format!("{first} (and 1 other pod): {reasons}"),
                more => format!("{first} (and {} other pods): {reasons}", more - 1),
            }
        })
        .collect();
    list.sort();
    api.warnings.extend(list);
}
