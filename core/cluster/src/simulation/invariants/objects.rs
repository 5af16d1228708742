//! Invariants of every object.

use object::Quantity;
use object::value::{at, str_at};
use store::Key;

use super::super::check::Memory;
use super::super::facts::{NodeFacts, PodFacts, number, whole};
use super::{Change, Verdict};

/// No two objects ever have the same uid.
pub fn uids_are_unique(change: &Change<'_>) -> Verdict {
    match change.created() {
        Some(new) if change.memory.uids.contains(&new.meta.uid) => Err(format!("uid {} was given out before", new.meta.uid)),
        _ => Ok(()),
    }
}

/// uid and time of creation do not change.
pub fn identity_stays(change: &Change<'_>) -> Verdict {
    match (&change.event.old, &change.event.new) {
        (Some(old), Some(new)) if old.meta.uid != new.meta.uid => Err(format!("uid {} became {}", old.meta.uid, new.meta.uid)),
        (Some(old), Some(new)) if old.meta.creation_timestamp != new.meta.creation_timestamp => {
            Err("another time of creation".to_owned())
        }
        _ => Ok(()),
    }
}

/// What is being deleted stays so.
pub fn deletion_is_not_taken_back(change: &Change<'_>) -> Verdict {
    match change.both() {
        Some((old, new)) if old.meta.deletion_timestamp.is_some() && new.meta.deletion_timestamp.is_none() => {
            Err("it is no longer being deleted".to_owned())
        }
        _ => Ok(()),
    }
}

/// What has finalizers is marked first, and goes only when the last of them goes.
pub fn finalizers_are_waited_for(change: &Change<'_>) -> Verdict {
    let Some(old) = change.event.old.as_ref().filter(|_| change.event.new.is_none()) else { return Ok(()) };
    let finalizers = &old.meta.finalizers;
    if finalizers.len() > 1 || (finalizers.len() == 1 && old.meta.deletion_timestamp.is_none()) {
        return Err(format!("it went with finalizers {finalizers:?}"));
    }
    Ok(())
}

/// An owner that is deleted in the foreground goes after those dependants that block it, unless a later request deletes it in
/// another way.
pub fn foreground_waits(change: &Change<'_>) -> Verdict {
    let Some(old) = change.event.old.as_ref().filter(|_| change.event.new.is_none()) else { return Ok(()) };
    if matches!(change.verb, "delete" | "deletecollection") {
        return Ok(());
    }
    if !old.meta.finalizers.iter().any(|f| f == "foregroundDeletion") {
        return Ok(());
    }
    let blocks = |o: &&std::sync::Arc<store::Object>| {
        o.meta.owner_references.iter().any(|r| r.uid == old.meta.uid && r.block_owner_deletion == Some(true))
    };
    match change.memory.owned(&old.meta.uid).find(blocks) {
        Some(left) => Err(format!("{:?} is still there", left.key)),
        None => Ok(()),
    }
}

/// Nothing is created in a namespace that is going away.
pub fn nothing_new_in_an_ending_namespace(change: &Change<'_>) -> Verdict {
    let Some(new) = change.created().filter(|new| !new.key.namespace.is_empty()) else { return Ok(()) };
    let key = Key::new(&object::GroupResource::literal("", "namespaces"), "", &new.key.namespace);
    match change.memory.objects.get(&key) {
        Some(namespace) if namespace.meta.deletion_timestamp.is_some() => Err("its namespace is going away".to_owned()),
        None => Err("it has no namespace".to_owned()),
        _ => Ok(()),
    }
}

/// No controller says that it has seen what is not there yet.
pub fn observed_generation_is_not_ahead(change: &Change<'_>) -> Verdict {
    let Some(new) = &change.event.new else { return Ok(()) };
    if new.meta.generation == 0 {
        return Ok(());
    }
    let observed = number(new, &["status", "observedGeneration"]);
    if observed > new.meta.generation { Err(format!("{observed} of {} observed", new.meta.generation)) } else { Ok(()) }
}

/// No two Services have the same address or the same node port.
pub fn service_addresses_are_unique(change: &Change<'_>) -> Verdict {
    let Some(new) = &change.event.new else { return Ok(()) };
    let address = str_at(whole(new), &["spec", "clusterIP"]);
    if address.is_empty() || address == "None" {
        return Ok(());
    }
    let mut others = change.memory.list(&new.key.resource, None).filter(|o| o.key != new.key);
    match others.find(|o| str_at(whole(o), &["spec", "clusterIP"]) == address) {
        Some(other) => Err(format!("{:?} has {address} too", other.key)),
        None => Ok(()),
    }
}

/// No two nodes have the same addresses for pods.
pub fn node_networks_are_unique(change: &Change<'_>) -> Verdict {
    let Some(new) = &change.event.new else { return Ok(()) };
    let cidr = &new.view::<NodeFacts>().cidr;
    let mut others = change.memory.list(&new.key.resource, None).filter(|o| o.key != new.key);
    match others.find(|o| !cidr.is_empty() && o.view::<NodeFacts>().cidr == *cidr) {
        Some(other) => Err(format!("{:?} has {cidr} too", other.key)),
        None => Ok(()),
    }
}

/// A volume belongs to one claim, and a claim to one volume.
pub fn a_volume_has_one_claim(change: &Change<'_>) -> Verdict {
    let Some(new) = &change.event.new else { return Ok(()) };
    let is_claim = &*new.key.resource.resource == "persistentvolumeclaims";
    let path: &[&str] = if is_claim { &["spec", "volumeName"] } else { &["spec", "claimRef", "uid"] };
    let other_end = str_at(whole(new), path);
    if let Some((old, _)) = change.both()
        && is_claim
        && !str_at(whole(old), path).is_empty()
        && str_at(whole(old), path) != other_end
    {
        return Err("a bound claim changed its volume".to_owned());
    }
    let mut others = change.memory.list(&new.key.resource, None).filter(|o| o.key != new.key);
    match others.find(|o| !other_end.is_empty() && str_at(whole(o), path) == other_end) {
        Some(other) => Err(format!("{:?} is bound to {other_end} too", other.key)),
        None => Ok(()),
    }
}

/// What a namespace uses of what a ResourceQuota may count, without one object.
pub fn used(memory: &Memory, namespace: &str, what: &str, without: Option<&Key>) -> i64 {
    let of = |resource: &str| {
        let resource = object::GroupResource::new("", resource);
        memory.list(&resource, Some(namespace)).filter(|o| without != Some(&o.key)).collect::<Vec<_>>()
    };
    let pods = || of("pods").into_iter().filter(|p| !p.view::<PodFacts>().is_terminal()).collect::<Vec<_>>();
    match what {
        "pods" => pods().len() as i64,
        "requests.cpu" | "cpu" => pods().iter().map(|p| p.view::<PodFacts>().requests.0).sum(),
        "configmaps" | "count/configmaps" => of("configmaps").len() as i64,
        _ => 0,
    }
}

/// Nothing is created beyond a quota.
pub fn quota_is_not_exceeded(change: &Change<'_>) -> Verdict {
    let Some(new) = change.created() else { return Ok(()) };
    let namespace = &*new.key.namespace;
    let quotas = object::GroupResource::literal("", "resourcequotas");
    for quota in change.memory.list(&quotas, Some(namespace)) {
        let hard = at(whole(quota), &["status", "hard"]).and_then(|h| h.as_object());
        for (what, limit) in hard.into_iter().flatten() {
            let Some(limit) = Quantity::from_json(limit) else { continue };
            let is_pod = &*new.key.resource.resource == "pods";
            let (limit, own) = match what.as_str() {
                "pods" if is_pod => (limit.value(), 1),
                "requests.cpu" | "cpu" if is_pod => (limit.milli_value(), new.view::<PodFacts>().requests.0),
                "configmaps" | "count/configmaps" if !is_pod => (limit.value(), 1),
                _ => continue,
            };
            let all = used(change.memory, namespace, what, None) + own;
            if all > limit {
                return Err(format!("{all} of {what} are used, {:?} allows {limit}", quota.key));
            }
        }
    }
    Ok(())
}
