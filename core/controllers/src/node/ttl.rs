//! TTL: tells kubelets by an annotation how long they may keep ConfigMaps and Secrets, longer in large clusters.

use std::collections::BTreeSet;

use apiserver::{PatchKind, gvr};
use object::{Result, json, meta};
use store::{Event, Key, Store};

use super::nodes;
use crate::context::Context;
use crate::index::Index;
use crate::manager::Controller;
use crate::queue::WorkQueue;

const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";
/// Steps: with fewer nodes than the first figure back to the step before, with more than the second on to the next; seconds.
const STEPS: [(usize, usize, u32); 5] = [(0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, usize::MAX, 300)];

/// Annotates nodes.
#[derive(Default)]
pub struct TtlController {
    known: BTreeSet<String>,
    step: usize,
}

impl Controller for TtlController {
    fn name(&self) -> &'static str {
        "ttl-controller"
    }

    fn changed(&mut self, _store: &Store, _index: &Index, event: &Event, queue: &mut WorkQueue) {
        let key = event.key();
        if key.resource != nodes() {
            return;
        }
        let (low, high, _) = STEPS[self.step.min(STEPS.len() - 1)];
        if event.new.is_some() {
            self.known.insert(key.name.to_string());
            if self.known.len() > high {
                self.step += 1;
            }
            // A node learns of another step when something else changes of it.
            queue.add(key.clone());
        } else {
            self.known.remove(&*key.name);
            if self.known.len() < low {
                self.step -= 1;
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()> {
        let Some(node) = cx.get(key) else { return Ok(()) };
        let (.., seconds) = STEPS[self.step.min(STEPS.len() - 1)];
        let wanted = seconds.to_string();
        if meta::annotation(&node.value(), ANNOTATION) == Some(wanted.as_str()) {
            return Ok(());
        }
        let patch = json!({"metadata": {"annotations": {ANNOTATION: wanted}}});
        match cx.client().patch(&gvr("", "v1", "nodes"), "", &key.name, "", PatchKind::Strategic, patch) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_overlap() {
        let mut controller = TtlController::default();
        let mut seconds = Vec::new();
        let mut queue = WorkQueue::default();
        let store = Store::new(10);
        let index = Index::default();
        let node = |name: u32| {
            let value = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name.to_string()}});
            std::sync::Arc::new(store::Object::new(Key::new(&nodes(), "", &name.to_string()), 1, &value))
        };
        for name in 0..101 {
            let event = Event { revision: 1, old: None, new: Some(node(name)) };
            controller.changed(&store, &index, &event, &mut queue);
        }
        seconds.push(STEPS[controller.step].2);
        for name in 0..12 {
            let event = Event { revision: 1, old: Some(node(name)), new: None };
            controller.changed(&store, &index, &event, &mut queue);
            seconds.push(STEPS[controller.step].2);
        }
        seconds.dedup();
        assert_eq!((seconds, controller.known.len()), (vec![15, 0], 89));
    }
}
