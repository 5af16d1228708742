//! What must be so once faults have stopped and time has passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::value::{at, bool_at, list_at, str_at};
use object::{GroupResource, LabelSelector, Quantity};
use store::Object;

use super::super::facts::{NodeFacts, PodFacts, number, share, tolerates, whole};
use super::objects::used;
use super::workloads::{is_active, is_finished, replicas};
use super::{Rest, Verdict};

fn list<'a>(rest: &Rest<'a>, group: &str, resource: &str) -> Vec<&'a Arc<Object>> {
    let resource = GroupResource::new(group, resource);
    rest.memory.list(&resource, None).collect()
}

fn pods_of<'a>(rest: &Rest<'a>, owner: &'a Object) -> Vec<&'a Arc<Object>> {
    let owned = rest.memory.owned(&owner.meta.uid);
    owned.filter(|o| &*o.key.resource.resource == "pods" && is_active(o)).collect()
}

fn show(object: &Arc<Object>) -> String {
    format!("{}/{} {}", object.key.namespace, object.key.name, whole(object)["status"])
}

/// Whether something keeps a pod from being ready that no control plane can change.
fn is_hopeless(pod: &Arc<Object>) -> bool {
    let facts = pod.view::<PodFacts>();
    facts.hopeless || facts.node.is_empty()
}

/// Every machine that has power has a Node that is Ready and has no taint that says otherwise.
pub fn nodes_are_ready(rest: &Rest<'_>) -> Verdict {
    let nodes = list(rest, "", "nodes");
    for machine in rest.machines {
        let node = nodes.iter().find(|node| *node.key.name == *machine.name);
        match node {
            Some(_) if machine.lost => return Err(format!("{} is still there", machine.name)),
            None if !machine.lost => return Err(format!("{} is not there", machine.name)),
            Some(node) => {
                let facts = node.view::<NodeFacts>();
                let taint = |t: &object::Value| str_at(t, &["key"]).starts_with("node.kubernetes.io/") && !facts.unschedulable;
                if !facts.ready || facts.taints.iter().any(taint) || facts.cidr.is_empty() {
                    return Err(format!("{} is not as it should be: {:?}", machine.name, facts));
                }
            }
            None => {}
        }
    }
    Ok(())
}

/// What is to be deleted is deleted, but for what waits for a finalizer of somebody else.
pub fn deletions_end(rest: &Rest<'_>) -> Verdict {
    let foreign = |o: &Object| o.meta.finalizers.iter().any(|f| f.starts_with("simulation/"));
    // A volume stays for as long as its claim.
    let claimed = |o: &Arc<Object>| {
        let uid = str_at(whole(o), &["spec", "claimRef", "uid"]);
        let is_volume = &*o.key.resource.resource == "persistentvolumes";
        is_volume && list(rest, "", "persistentvolumeclaims").iter().any(|claim| claim.meta.uid == uid)
    };
    let left = rest.memory.objects.values().find(|o| o.meta.deletion_timestamp.is_some() && !foreign(o) && !claimed(o));
    left.map_or(Ok(()), |o| Err(format!("{:?} is still being deleted: {}", o.key, whole(o)["metadata"])))
}

/// Nothing is left whose owners are all gone.
pub fn no_orphans_are_left(rest: &Rest<'_>) -> Verdict {
    let uids: BTreeSet<&str> = rest.memory.objects.values().map(|o| o.meta.uid.as_str()).collect();
    for object in rest.memory.objects.values() {
        let owners = &object.meta.owner_references;
        if !owners.is_empty() && owners.iter().all(|owner| !uids.contains(owner.uid.as_str())) {
            return Err(format!("{:?} has lost its owners", object.key));
        }
    }
    Ok(())
}

/// Controllers have seen the last change of every spec.
pub fn generations_are_observed(rest: &Rest<'_>) -> Verdict {
    for (group, resource) in [
        ("apps", "deployments"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("apps", "daemonsets"),
        ("", "replicationcontrollers"),
        ("policy", "poddisruptionbudgets"),
    ] {
        for object in list(rest, group, resource) {
            if number(object, &["status", "observedGeneration"]) != object.meta.generation {
                return Err(format!("{:?} {} of {}", object.key, whole(object)["status"], object.meta.generation));
            }
        }
    }
    Ok(())
}

/// No pod waits that would fit on some node.
pub fn pods_that_fit_are_bound(rest: &Rest<'_>) -> Verdict {
    for pod in list(rest, "", "pods") {
        let facts = pod.view::<PodFacts>();
        if !facts.node.is_empty() || facts.demanding || !is_active(pod) {
            continue;
        }
        if let Some(node) = list(rest, "", "nodes").into_iter().find(|node| fits(rest, pod, node)) {
            return Err(format!("{:?} waits though it fits on {}: {}", pod.key, node.key.name, whole(pod)["status"]));
        }
    }
    Ok(())
}

fn fits(rest: &Rest<'_>, object: &Arc<Object>, node: &Arc<Object>) -> bool {
    let (pod, facts) = (object.view::<PodFacts>(), node.view::<NodeFacts>());
    let repels =
        |t: &object::Value| matches!(str_at(t, &["effect"]), "NoSchedule" | "NoExecute") && !tolerates(&pod.tolerations, t);
    let on_it = rest.memory.on_node.get(&*node.key.name).into_iter().flatten().filter_map(|key| rest.memory.objects.get(key));
    let (mut cpu, mut memory, mut count) = (pod.requests.0, pod.requests.1, 1);
    for there in on_it.filter(|o| !o.view::<PodFacts>().is_terminal()) {
        let other = there.view::<PodFacts>();
        let app = object.meta.labels.get("app");
        if there.key.namespace == object.key.namespace && other.alone.is_some() && other.alone.as_ref() == app {
            return false;
        }
        (cpu, memory, count) = (cpu + other.requests.0, memory + other.requests.1, count + 1);
    }
    let (has_cpu, has_memory, has_pods) = facts.allocatable;
    !facts.unschedulable
        && !facts.taints.iter().any(repels)
        && pod.node_selector.iter().all(|(k, v)| node.meta.labels.get(k) == Some(v))
        && cpu <= has_cpu
        && memory <= has_memory
        && count <= has_pods
}

/// Pods that have a node run and are ready, or have ended, unless they cannot.
pub fn bound_pods_run(rest: &Rest<'_>) -> Verdict {
    for pod in list(rest, "", "pods") {
        let facts = pod.view::<PodFacts>();
        let runs = facts.phase == "Running" && facts.ready;
        if !facts.node.is_empty() && is_active(pod) && !is_hopeless(pod) && !runs {
            return Err(format!("{:?} on {}: {}", pod.key, facts.node, whole(pod)["status"]));
        }
    }
    Ok(())
}

/// No claim waits for which there is a volume.
pub fn claims_that_fit_are_bound(rest: &Rest<'_>) -> Verdict {
    let size = |o: &Arc<Object>, path: &[&str]| at(whole(o), path).and_then(Quantity::from_json).map_or(0, |q| q.value());
    for claim in list(rest, "", "persistentvolumeclaims") {
        if str_at(whole(claim), &["status", "phase"]) == "Bound" || claim.meta.deletion_timestamp.is_some() {
            continue;
        }
        let wanted = size(claim, &["spec", "resources", "requests", "storage"]);
        let free = |v: &&Arc<Object>| {
            at(whole(v), &["spec", "claimRef"]).is_none()
                && v.meta.deletion_timestamp.is_none()
                && size(v, &["spec", "capacity", "storage"]) >= wanted
        };
        if let Some(volume) = list(rest, "", "persistentvolumes").into_iter().find(free) {
            return Err(format!("{} waits, {} is free", show(claim), volume.key.name));
        }
    }
    Ok(())
}

fn is_refused(set: &Arc<Object>) -> bool {
    list_at(whole(set), &["status", "conditions"]).iter().any(|c| str_at(c, &["type"]) == "ReplicaFailure")
}

/// ReplicaSets and ReplicationControllers have as many pods as they should, and know it.
pub fn sets_have_their_pods(rest: &Rest<'_>) -> Verdict {
    for (group, resource) in [("apps", "replicasets"), ("", "replicationcontrollers")] {
        for set in list(rest, group, resource) {
            let pods = pods_of(rest, set);
            let ready = pods.iter().filter(|p| p.view::<PodFacts>().ready).count() as i64;
            let all = pods.len() as i64;
            let told = number(set, &["status", "replicas"]) == all && number(set, &["status", "readyReplicas"]) == ready;
            if !told || (all != replicas(set) && !is_refused(set)) {
                return Err(format!("{} has {all} pods, {ready} ready, and wants {}", show(set), replicas(set)));
            }
        }
    }
    Ok(())
}

/// Deployments have rolled out what they say, unless some pod cannot run.
pub fn rollouts_end(rest: &Rest<'_>) -> Verdict {
    for deployment in list(rest, "apps", "deployments") {
        let sets: Vec<&Arc<Object>> =
            rest.memory.owned(&deployment.meta.uid).filter(|o| &*o.key.resource.resource == "replicasets").collect();
        let all: Vec<&Arc<Object>> = sets.iter().flat_map(|set| pods_of(rest, set)).collect();
        let status = |field: &str| number(deployment, &["status", field]);
        let ready = all.iter().filter(|p| p.view::<PodFacts>().ready).count() as i64;
        if status("replicas") != all.len() as i64 || status("readyReplicas") != ready {
            return Err(format!("{} has {} pods, {ready} ready", show(deployment), all.len()));
        }
        let stuck = all.iter().any(|p| is_hopeless(p)) || sets.iter().any(|s| is_refused(s));
        if stuck || bool_at(whole(deployment), &["spec", "paused"]) {
            continue;
        }
        let wanted = replicas(deployment);
        if ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"].iter().any(|field| status(field) != wanted) {
            return Err(format!("{} wants {wanted}", show(deployment)));
        }
    }
    Ok(())
}

/// StatefulSets have exactly the pods they should, ready and of the right revision, unless some pod cannot run.
pub fn stateful_sets_are_whole(rest: &Rest<'_>) -> Verdict {
    for set in list(rest, "apps", "statefulsets") {
        let pods = pods_of(rest, set);
        if pods.iter().any(|p| is_hopeless(p)) || is_full(rest, &set.key.namespace) {
            continue;
        }
        let wanted = replicas(set);
        let status = |field: &str| number(set, &["status", field]);
        let partition = number(set, &["spec", "updateStrategy", "rollingUpdate", "partition"]);
        let rolling = str_at(whole(set), &["spec", "updateStrategy", "type"]) == "RollingUpdate" && partition == 0;
        let revisions = [at(whole(set), &["status", "currentRevision"]), at(whole(set), &["status", "updateRevision"])];
        let current = revisions[0] == revisions[1] || !rolling;
        if pods.len() as i64 != wanted || status("replicas") != wanted || status("readyReplicas") != wanted || !current {
            return Err(format!("{} has {} pods and wants {wanted}", show(set), pods.len()));
        }
    }
    Ok(())
}

/// Whether a quota keeps anything from being made in this namespace.
fn is_full(rest: &Rest<'_>, namespace: &str) -> bool {
    list(rest, "", "resourcequotas").iter().any(|quota| *quota.key.namespace == *namespace)
}

/// DaemonSets have one pod on each node that takes it.
pub fn daemons_are_everywhere(rest: &Rest<'_>) -> Verdict {
    for set in list(rest, "apps", "daemonsets") {
        let pods = pods_of(rest, set);
        if pods.iter().any(|p| is_hopeless(p)) || is_full(rest, &set.key.namespace) {
            continue;
        }
        let selector = object::meta::string_map(at(whole(set), &["spec", "template", "spec", "nodeSelector"]));
        let mut tolerations = list_at(whole(set), &["spec", "template", "spec", "tolerations"]).to_vec();
        tolerations.push(object::json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}));
        let takes = |node: &&Arc<Object>| {
            let facts = node.view::<NodeFacts>();
            selector.iter().all(|(k, v)| node.meta.labels.get(k) == Some(v))
                && facts.taints.iter().all(|t| str_at(t, &["effect"]) == "PreferNoSchedule" || tolerates(&tolerations, t))
        };
        let wanted: BTreeSet<String> =
            list(rest, "", "nodes").iter().filter(|n| takes(n)).map(|n| n.key.name.to_string()).collect();
        // A pod stays on a node that has been tainted NoSchedule since.
        let there: Vec<String> = pods.iter().map(|p| p.view::<PodFacts>().node.clone()).collect();
        let ready = number(set, &["status", "numberReady"]);
        let missing = wanted.iter().find(|node| !there.contains(node));
        let twice = there.iter().any(|node| there.iter().filter(|n| *n == node).count() > 1);
        if missing.is_some() || twice || ready < wanted.len() as i64 {
            return Err(format!("{} has pods on {there:?} and wants them on {wanted:?}", show(set)));
        }
    }
    Ok(())
}

/// Jobs that may run have ended, and know their pods.
pub fn jobs_end(rest: &Rest<'_>) -> Verdict {
    for job in list(rest, "batch", "jobs") {
        let idle = bool_at(whole(job), &["spec", "suspend"]) || number(job, &["spec", "parallelism"]) == 0;
        if idle || is_full(rest, &job.key.namespace) {
            continue;
        }
        let pods = pods_of(rest, job);
        if !is_finished(job) && !pods.iter().any(|p| p.view::<PodFacts>().node.is_empty()) {
            return Err(format!("{} has not ended", show(job)));
        }
        let uncounted =
            at(whole(job), &["status", "uncountedTerminatedPods"]).is_some_and(|u| u.as_object().is_some_and(|u| !u.is_empty()));
        if is_finished(job) && (uncounted || number(job, &["status", "active"]) != 0 || !pods.is_empty()) {
            return Err(format!("{} has ended with {} pods", show(job), pods.len()));
        }
    }
    Ok(())
}

/// EndpointSlices show exactly the ready pods of their Service as ready.
pub fn slices_show_ready_pods(rest: &Rest<'_>) -> Verdict {
    let slices = list(rest, "discovery.k8s.io", "endpointslices");
    for service in list(rest, "", "services") {
        let selector = object::meta::string_map(at(whole(service), &["spec", "selector"]));
        if selector.is_empty() {
            continue;
        }
        let selects = |pod: &&Arc<Object>| {
            pod.key.namespace == service.key.namespace
                && selector.iter().all(|(k, v)| pod.meta.labels.get(k) == Some(v))
                && pod.view::<PodFacts>().ready
                && is_active(pod)
        };
        let ready: BTreeSet<String> =
            list(rest, "", "pods").iter().filter(|p| selects(p)).map(|p| p.view::<PodFacts>().ip.clone()).collect();
        let mut shown = BTreeSet::new();
        for slice in &slices {
            let of = slice.meta.labels.get("kubernetes.io/service-name").is_some_and(|name| *name == *service.key.name);
            if !of || slice.key.namespace != service.key.namespace {
                continue;
            }
            for endpoint in list_at(whole(slice), &["endpoints"]) {
                if bool_at(endpoint, &["conditions", "ready"]) {
                    shown.extend(list_at(endpoint, &["addresses"]).iter().filter_map(|a| a.as_str()).map(str::to_owned));
                }
            }
        }
        if ready != shown {
            return Err(format!("{:?} has {ready:?}, its slices show {shown:?}", service.key));
        }
    }
    Ok(())
}

/// PodDisruptionBudgets have counted the pods that there are.
pub fn budgets_are_current(rest: &Rest<'_>) -> Verdict {
    for budget in list(rest, "policy", "poddisruptionbudgets") {
        let selector = at(whole(budget), &["spec", "selector"]).and_then(|s| LabelSelector::from_json(s).ok());
        let Some(selector) = selector else { continue };
        let pods: Vec<&Arc<Object>> = list(rest, "", "pods")
            .into_iter()
            .filter(|p| p.key.namespace == budget.key.namespace && is_active(p) && selector.matches(&p.meta.labels))
            .collect();
        let healthy = pods.iter().filter(|p| p.view::<PodFacts>().ready).count() as i64;
        if number(budget, &["status", "currentHealthy"]) != healthy {
            return Err(format!("{} covers {healthy} healthy pods", show(budget)));
        }
        let desired = number(budget, &["status", "desiredHealthy"]);
        let allowed = number(budget, &["status", "disruptionsAllowed"]);
        let expected = number(budget, &["status", "expectedPods"]);
        let minimum = at(whole(budget), &["spec", "minAvailable"]);
        let right = match minimum {
            Some(minimum) => share(Some(minimum), expected, 0, true),
            None => expected - share(at(whole(budget), &["spec", "maxUnavailable"]), expected, 0, true),
        };
        if desired != right.max(0) || allowed != if expected > 0 { (healthy - desired).max(0) } else { 0 } {
            return Err(format!("{} must allow {}", show(budget), healthy - right));
        }
    }
    Ok(())
}

/// ResourceQuotas know what is used.
pub fn quotas_are_current(rest: &Rest<'_>) -> Verdict {
    for quota in list(rest, "", "resourcequotas") {
        for (what, limit) in at(whole(quota), &["spec", "hard"]).and_then(|h| h.as_object()).into_iter().flatten() {
            let told = at(whole(quota), &["status", "used", what]).and_then(Quantity::from_json);
            let real = used(rest.memory, &quota.key.namespace, what, None);
            let told = told.map(|q| if what.contains("cpu") { q.milli_value() } else { q.value() });
            if told != Some(real) {
                return Err(format!("{} of {limit}, {real} of {what} are used", show(quota)));
            }
        }
    }
    Ok(())
}

/// Nodes run the pods that are bound to them, and nothing else.
pub fn nodes_run_what_is_bound(rest: &Rest<'_>) -> Verdict {
    let mut bound: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in list(rest, "", "pods") {
        let facts = pod.view::<PodFacts>();
        if !facts.node.is_empty() && is_active(pod) && !is_hopeless(pod) {
            bound.entry(facts.node.clone()).or_default().insert(pod.meta.uid.clone());
        }
    }
    for machine in rest.machines {
        let running: BTreeSet<String> = machine.runtime.running().map(|(id, _)| id.pod.to_string()).collect();
        let known = |uid: &&String| rest.memory.uids.contains(*uid) && rest.memory.objects.values().any(|o| o.meta.uid == **uid);
        if let Some(stray) = running.iter().find(|uid| !known(uid)) {
            return Err(format!("{} still runs pod {stray}, which is gone", machine.name));
        }
        let wanted = bound.remove(&machine.name).unwrap_or_default();
        if let Some(missing) = wanted.iter().find(|uid| !running.contains(*uid)) {
            return Err(format!("{} does not run pod {missing}", machine.name));
        }
    }
    Ok(())
}
