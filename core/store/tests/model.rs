//! Random changes against a model that is too simple to be wrong: every state the store ever had, kept whole.

use std::collections::BTreeMap;

use object::{GroupResource, json};
use proptest::prelude::*;
use wasmkube_store::{Key, Snapshot, Store};

const HISTORY: u32 = 8;
const RESOURCES: [&str; 2] = ["configmaps", "pods"];
const NAMESPACES: [&str; 3] = ["", "a", "b"];

/// One change: which resource, namespace and name, and what to write there; `None` removes.
type Change = (usize, usize, u8, Option<u32>);

/// What a store holds, by resource, namespace and name: the data, and the revision that wrote it.
type State = BTreeMap<(String, String, String), (u32, u64)>;

fn key(resource: usize, namespace: usize, name: u8) -> Key {
    Key::new(&GroupResource::new("", RESOURCES[resource]), NAMESPACES[namespace], &format!("n{name}"))
}

fn place(key: &Key) -> (String, String, String) {
    (key.resource.resource.to_string(), key.namespace.to_string(), key.name.to_string())
}

/// The same change to both; the states by revision grow by one if it was one.
fn change(store: &mut Store, states: &mut Vec<State>, (resource, namespace, name, data): Change) {
    let key = key(resource, namespace, name);
    let mut next = states.last().cloned().unwrap_or_default();
    let revision = states.len() as u64;
    match data {
        Some(data) => {
            let object = store.put(key.clone(), json!({"kind": "T", "metadata": {"name": &*key.name}, "data": data}));
            assert_eq!(object.revision, revision);
            next.insert(place(&key), (data, revision));
        }
        None => {
            let removed = store.remove(&key).is_some();
            assert_eq!(removed, next.remove(&place(&key)).is_some());
            if !removed {
                return;
            }
        }
    }
    states.push(next);
}

/// A snapshot shows exactly the model's state, by list and by get.
fn check(snapshot: &Snapshot, state: &State) {
    for resource in RESOURCES {
        let gr = GroupResource::new("", resource);
        for namespace in [None, Some("a"), Some("b")] {
            let listed: Vec<_> = snapshot
                .list(&gr, namespace)
                .map(|o| (place(&o.key), (o.value()["data"].as_u64().unwrap_or_default() as u32, o.revision)))
                .collect();
            let expect: Vec<_> = state
                .iter()
                .filter(|((r, ns, _), _)| r == resource && namespace.is_none_or(|wanted| wanted == ns))
                .map(|(k, v)| (k.clone(), *v))
                .collect();
            assert_eq!(listed, expect);
        }
    }
    for (r, namespace, name) in state.keys() {
        assert!(snapshot.get(&Key::new(&GroupResource::new("", r), namespace, name)).is_some());
    }
}

proptest! {
    #[test]
    fn reads_of_the_present_and_of_the_past(
        changes in prop::collection::vec((0..2usize, 0..3usize, 0..4u8, prop::option::weighted(0.7, 0..9u32)), 1..60)
    ) {
        let mut store = Store::new(HISTORY);
        let mut states = vec![State::new()];
        let mut early = None;
        for (i, one) in changes.iter().enumerate() {
            change(&mut store, &mut states, *one);
            if i == changes.len() / 2 {
                early = Some((store.snapshot(), states.len() - 1));
            }
        }
        let last = states.len() as u64 - 1;
        assert_eq!(store.revision(), last);
        check(store.current(), &states[last as usize]);
        // A snapshot that was taken earlier is not touched by what came later.
        let (snapshot, revision) = early.expect("there is at least one change");
        check(&snapshot, &states[revision]);
        // History reaches back exactly as far as its window, and replaying it leads from any state to the present.
        for revision in 0..=last {
            if revision + u64::from(HISTORY) < last {
                assert!(store.at(revision).is_err());
                assert!(store.events_since(revision).is_err());
                continue;
            }
            check(&store.at(revision).expect("within the window"), &states[revision as usize]);
            let mut state = states[revision as usize].clone();
            let mut expected = revision;
            for event in store.events_since(revision).expect("within the window") {
                expected += 1;
                assert_eq!(event.revision, expected);
                let before = state.get(&place(event.key())).map(|(_, revision)| *revision);
                assert_eq!(event.old.as_ref().map(|o| o.revision), before);
                match &event.new {
                    Some(new) => drop(state.insert(
                        place(&new.key),
                        (new.value()["data"].as_u64().unwrap_or_default() as u32, new.revision),
                    )),
                    None => drop(state.remove(&place(event.key()))),
                }
            }
            assert_eq!(state, states[last as usize]);
        }
    }

    #[test]
    fn pages_put_together_are_the_list(names in prop::collection::btree_set((0..3usize, 0..30u8), 0..40), size in 1..7usize) {
        let mut store = Store::new(HISTORY);
        for (namespace, name) in &names {
            store.put(key(0, *namespace, *name), json!({"kind": "T"}));
        }
        let gr = GroupResource::new("", RESOURCES[0]);
        let whole: Vec<Key> = store.list(&gr, None).map(|o| o.key.clone()).collect();
        let mut paged: Vec<Key> = Vec::new();
        loop {
            let after = paged.last().map(|k| (k.namespace.to_string(), k.name.to_string()));
            let after = after.as_ref().map(|(ns, name)| (ns.as_str(), name.as_str()));
            let page: Vec<Key> = store.current().list_after(&gr, None, after).take(size).map(|o| o.key.clone()).collect();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, whole);
    }
}
