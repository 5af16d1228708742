//! Which slice an endpoint stands in. It stays where it is while it lasts, so that a change of one pod changes one slice; new
//! endpoints fill slices that change anyhow, then one that has room, and only then new ones.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#distribution-of-endpointslices>

use std::collections::BTreeMap;
use std::sync::Arc;

use object::Value;
use object::value::{list_at, str_at};
use store::Object;

/// Endpoints in one slice.
pub const MAX_ENDPOINTS: usize = 100;

/// What is to be done with the slices of one set of ports.
#[derive(Debug, Default)]
pub struct Plan {
    /// Slices that stay, some with other endpoints.
    pub kept: Vec<(Arc<Object>, Vec<Value>)>,
    /// Endpoints of slices to be made.
    pub made: Vec<Vec<Value>>,
    /// Slices that nobody needs.
    pub dropped: Vec<Arc<Object>>,
}

/// Who an endpoint is.
fn identity(endpoint: &Value) -> (String, String) {
    let address = list_at(endpoint, &["addresses"]).first().and_then(Value::as_str).unwrap_or_default();
    (str_at(endpoint, &["targetRef", "name"]).to_owned(), address.to_owned())
}

/// Distributes the wanted endpoints over the slices there are.
pub fn distribute(existing: Vec<Arc<Object>>, wanted: Vec<Value>) -> Plan {
    let mut wanted: BTreeMap<_, Value> = wanted.into_iter().map(|endpoint| (identity(&endpoint), endpoint)).collect();
    let mut plan = Plan::default();
    let mut changed = Vec::new();
    for slice in existing {
        let before = list_at(&slice.value(), &["endpoints"]).to_vec();
        let after: Vec<Value> = before.iter().filter_map(|endpoint| wanted.remove(&identity(endpoint))).collect();
        changed.push(after != before);
        plan.kept.push((slice, after));
    }
    let mut rest: Vec<Value> = wanted.into_values().collect();
    // Slices that are written anyhow take what they have room for.
    for ((_, endpoints), changed) in plan.kept.iter_mut().zip(&changed) {
        if *changed && !endpoints.is_empty() {
            fill(endpoints, &mut rest);
        }
    }
    while rest.len() >= MAX_ENDPOINTS {
        plan.made.push(rest.drain(..MAX_ENDPOINTS).collect());
    }
    if !rest.is_empty() {
        // The fullest slice that has room for all of them.
        let room = |endpoints: &[Value]| endpoints.len() + rest.len() <= MAX_ENDPOINTS;
        let best = plan.kept.iter_mut().filter(|(_, endpoints)| room(endpoints)).max_by_key(|(_, endpoints)| endpoints.len());
        match best {
            Some((_, endpoints)) => endpoints.append(&mut rest),
            None => plan.made.push(rest),
        }
    }
    let all = std::mem::take(&mut plan.kept);
    for (slice, endpoints) in all {
        if endpoints.is_empty() { plan.dropped.push(slice) } else { plan.kept.push((slice, endpoints)) }
    }
    plan
}

fn fill(endpoints: &mut Vec<Value>, rest: &mut Vec<Value>) {
    let room = MAX_ENDPOINTS.saturating_sub(endpoints.len()).min(rest.len());
    endpoints.extend(rest.drain(..room));
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{GroupResource, json};
    use store::Key;

    fn endpoint(n: usize, ready: bool) -> Value {
        json!({"addresses": [format!("10.0.{}.{}", n / 256, n % 256)], "conditions": {"ready": ready}, "targetRef": {"name": format!("p{n:05}")}})
    }

    fn slices(sizes: &[usize]) -> (Vec<Arc<Object>>, Vec<Value>) {
        let mut all = Vec::new();
        let make = |(index, size): (usize, &usize)| {
            let endpoints: Vec<Value> = (0..*size).map(|n| endpoint(all.len() + n, true)).collect();
            all.extend(endpoints.clone());
            let key = Key::new(&GroupResource::literal("discovery.k8s.io", "endpointslices"), "default", &index.to_string());
            Arc::new(Object::new(key, 1, &json!({"endpoints": endpoints})))
        };
        (sizes.iter().enumerate().map(make).collect(), all)
    }

    /// Slices that change, that are made and that go.
    fn writes(plan: &Plan) -> (usize, Vec<usize>, usize) {
        let differs = |(slice, after): &&(Arc<Object>, Vec<Value>)| list_at(&slice.value(), &["endpoints"]) != after.as_slice();
        (plan.kept.iter().filter(differs).count(), plan.made.iter().map(Vec::len).collect(), plan.dropped.len())
    }

    #[test]
    fn few_slices_change() {
        let case = |sizes: &[usize], change: &dyn Fn(&mut Vec<Value>)| {
            let (existing, mut wanted) = slices(sizes);
            change(&mut wanted);
            writes(&distribute(existing, wanted))
        };
        assert_eq!(case(&[100, 100, 100], &|_| {}), (0, vec![], 0), "nothing");
        assert_eq!(case(&[100, 100, 100], &|all| drop(all.remove(0))), (1, vec![], 0), "one goes");
        assert_eq!(case(&[100, 100, 100], &|all| all[150] = endpoint(150, false)), (1, vec![], 0), "one is not ready");
        assert_eq!(case(&[100, 100], &|all| all.push(endpoint(900, true))), (0, vec![1], 0), "all are full");
        assert_eq!(case(&[100, 40, 70], &|all| all.push(endpoint(900, true))), (1, vec![], 0), "one has room");
        let replace = |all: &mut Vec<Value>| all[5] = endpoint(900, true);
        assert_eq!(case(&[100, 40], &replace), (1, vec![], 0), "the slice that changes anyhow takes it");
        assert_eq!(case(&[1, 100], &|all| drop(all.remove(0))), (0, vec![], 1), "an empty slice goes");
        assert_eq!(case(&[], &|all| all.extend((0..250).map(|n| endpoint(n, true)))), (0, vec![100, 100, 50], 0), "new ones");
    }
}
