//! All tallies, and the templates of pods that they count: a pod that comes to a node or leaves it moves exactly the tallies that
//! speak of its template.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node_info::{NodeInfo, ResourceId, Resources};
use crate::pod_info::Template;
use crate::tally::{Counted, Tally, TallyId, TallyKey, held};
use crate::topology::{KeyId, Topologies};

/// More tallies than this are not kept, unless pods hold their terms.
const MAX_TALLIES: usize = 4096;
/// So many templates are kept that no pod has any more.
const MAX_IDLE_CLASSES: usize = 1024;

/// Labels of namespaces.
pub(crate) type Namespaces = BTreeMap<Arc<str>, BTreeMap<String, String>>;

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// The labels of a namespace.
pub(crate) fn labels_of<'a>(namespaces: &'a Namespaces, name: &str) -> &'a BTreeMap<String, String> {
    namespaces.get(name).unwrap_or(&NO_LABELS)
}

/// A template and where pods of it are.
#[derive(Debug)]
pub(crate) struct Class {
    /// The template.
    pub template: Arc<Template>,
    /// What its pods ask for.
    pub requests: Vec<(ResourceId, i64)>,
    /// The tallies in which its pods count, and how often.
    bumps: Vec<(TallyId, i32)>,
    /// Pods by node.
    placed: BTreeMap<u32, u32>,
    /// Whether there are tallies of the terms that it holds.
    held: bool,
}

/// Templates, tallies and topology.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    classes: Vec<Option<Class>>,
    class_ids: BTreeMap<Arc<Template>, u32>,
    free_classes: Vec<u32>,
    tallies: Vec<Option<Tally>>,
    ids: BTreeMap<TallyKey, TallyId>,
    free: Vec<TallyId>,
    pub topologies: Topologies,
    /// Another number whenever a tally comes or goes.
    pub generation: u64,
    clock: u64,
    idle_limit: usize,
}

/// What tallies are counted from.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    /// By slot.
    pub nodes: &'a [NodeInfo],
    /// Labels of namespaces.
    pub namespaces: &'a Namespaces,
}

impl Tallies {
    /// The number and the one copy of a template.
    pub fn class(&mut self, template: Template, namespaces: &Namespaces, resources: &mut Resources) -> (u32, Arc<Template>) {
        if let Some((template, id)) = self.class_ids.get_key_value(&template) {
            return (*id, template.clone());
        }
        self.forget_idle();
        let template = Arc::new(template);
        let namespace = labels_of(namespaces, &template.namespace);
        let bumps = self.tallies.iter().zip(0..).filter_map(|(tally, id)| {
            let number = tally.as_ref()?.key.counts(&template, namespace);
            (number != 0).then_some((id, number))
        });
        let class = Class {
            requests: resources.numbered(&template.requests),
            bumps: bumps.collect(),
            placed: BTreeMap::new(),
            held: held(&template).next().is_none(),
            template: template.clone(),
        };
        let id = self.free_classes.pop().unwrap_or(self.classes.len() as u32);
        match self.classes.get_mut(id as usize) {
            Some(place) => *place = Some(class),
            None => self.classes.push(Some(class)),
        }
        self.class_ids.insert(template.clone(), id);
        (id, template)
    }

    /// A template by its number.
    pub fn get_class(&self, id: u32) -> Option<&Class> {
        self.classes.get(id as usize)?.as_ref()
    }

    /// Drops templates that no pod has any more, once they are many.
    fn forget_idle(&mut self) {
        if self.class_ids.len() < self.idle_limit.max(MAX_IDLE_CLASSES) {
            return;
        }
        let classes = &mut self.classes;
        let free = &mut self.free_classes;
        self.class_ids.retain(|template, id| {
            // Two hold it here: this map and the class.
            let used = Arc::strong_count(template) > 2;
            if !used && let Some(place) = classes.get_mut(*id as usize) {
                *place = None;
                free.push(*id);
            }
            used
        });
        self.idle_limit = self.class_ids.len() + MAX_IDLE_CLASSES;
        self.generation += 1;
    }

    /// A tally.
    pub fn get(&self, id: TallyId) -> Option<&Tally> {
        self.tallies.get(id as usize)?.as_ref()
    }

    /// The number of a topology key.
    pub fn key(&mut self, key: &str, world: World<'_>) -> KeyId {
        self.topologies.key(key, world.nodes.iter().map(|node| node.exists.then_some(&node.labels)))
    }

    /// Finds a tally, or counts it.
    pub fn ask(&mut self, key: TallyKey, world: World<'_>) -> TallyId {
        self.clock += 1;
        if let Some(id) = self.ids.get(&key).copied() {
            if let Some(tally) = self.tallies.get_mut(id as usize).and_then(Option::as_mut) {
                tally.used = self.clock;
            }
            return id;
        }
        if self.ids.len() >= MAX_TALLIES {
            self.forget_unused();
        }
        let mut tally = Tally::new(key.clone());
        tally.used = self.clock;
        for node in world.nodes.iter().filter(|node| node.exists) {
            tally.enter(node, self.topologies.domain(key.topology, node.slot));
        }
        let id = self.free.pop().unwrap_or(self.tallies.len() as TallyId);
        for class in self.classes.iter_mut().flatten() {
            let number = key.counts(&class.template, labels_of(world.namespaces, &class.template.namespace));
            if number != 0 {
                class.bumps.push((id, number));
                for (slot, pods) in &class.placed {
                    tally.add(*slot, self.topologies.domain(key.topology, *slot), number * *pods as i32);
                }
            }
        }
        match self.tallies.get_mut(id as usize) {
            Some(place) => *place = Some(tally),
            None => self.tallies.push(Some(tally)),
        }
        self.ids.insert(key, id);
        self.generation += 1;
        id
    }

    /// Drops the half of the tallies that were asked for longest ago, except those of terms that pods hold.
    fn forget_unused(&mut self) {
        let oldest = self.clock.saturating_sub(MAX_TALLIES as u64 / 2);
        let Tallies { tallies, ids, free, classes, .. } = self;
        ids.retain(|key, id| {
            let Some(place) = tallies.get_mut(*id as usize) else { return false };
            let idle = place.as_ref().is_none_or(|tally| match key.counted {
                Counted::Holders(..) => tally.is_empty(),
                _ => tally.used < oldest,
            });
            if idle {
                *place = None;
                free.push(*id);
            }
            !idle
        });
        for class in classes.iter_mut().flatten() {
            let before = class.bumps.len();
            class.bumps.retain(|(id, _)| tallies.get(*id as usize).is_some_and(Option::is_some));
            // Its terms' tallies may have been among them.
            class.held &= class.bumps.len() == before;
        }
        self.generation += 1;
    }

    /// The labels of a namespace have changed: who is selected may be others.
    pub fn recount(&mut self, world: World<'_>) {
        self.tallies.clear();
        self.ids.clear();
        self.free.clear();
        for class in self.classes.iter_mut().flatten() {
            class.bumps.clear();
            class.held = held(&class.template).next().is_none();
        }
        self.generation += 1;
        for id in 0..self.classes.len() as u32 {
            if self.get_class(id).is_some_and(|class| !class.placed.is_empty()) {
                self.hold(id, world);
            }
        }
    }

    /// Sees to it that there are tallies of the terms that pods of a template hold.
    fn hold(&mut self, id: u32, world: World<'_>) {
        let Some(Some(class)) = self.classes.get_mut(id as usize) else { return };
        if std::mem::replace(&mut class.held, true) {
            return;
        }
        let template = class.template.clone();
        for (role, term) in held(&template) {
            let topology = self.key(&term.topology_key, world);
            self.ask(TallyKey { counted: Counted::Holders(role, term.clone()), topology, inclusion: None }, world);
        }
    }

    /// Pods of a template come to a node, or leave it.
    pub fn moved(&mut self, id: u32, slot: u32, number: i32, world: World<'_>) {
        if number > 0 {
            self.hold(id, world);
        }
        self.count(id, slot, number);
        let Some(Some(class)) = self.classes.get_mut(id as usize) else { return };
        let pods = class.placed.entry(slot).or_default();
        *pods = pods.saturating_add_signed(number);
        if *pods == 0 {
            class.placed.remove(&slot);
        }
    }

    fn count(&mut self, id: u32, slot: u32, number: i32) {
        let Some(Some(class)) = self.classes.get(id as usize) else { return };
        for (tally, times) in &class.bumps {
            if let Some(Some(tally)) = self.tallies.get_mut(*tally as usize) {
                tally.add(slot, self.topologies.domain(tally.key.topology, slot), number * times);
            }
        }
    }

    /// A node is about to change or to go.
    pub fn leave(&mut self, node: &NodeInfo) {
        for (class, pods) in &node.classes {
            self.count(*class, node.slot, -(*pods as i32));
        }
        for tally in self.tallies.iter_mut().flatten() {
            tally.leave(node.slot, self.topologies.domain(tally.key.topology, node.slot));
        }
        self.topologies.set(node.slot, None);
    }

    /// A node is there, or has changed.
    pub fn enter(&mut self, node: &NodeInfo) {
        self.topologies.set(node.slot, Some(&node.labels));
        for tally in self.tallies.iter_mut().flatten() {
            tally.enter(node, self.topologies.domain(tally.key.topology, node.slot));
        }
        for (class, pods) in &node.classes {
            self.count(*class, node.slot, *pods as i32);
        }
    }

    /// The tallies of terms that pods somewhere hold.
    pub fn holders(&self) -> impl Iterator<Item = (TallyId, &Tally)> {
        let of_holders = |tally: &&Tally| matches!(tally.key.counted, Counted::Holders(..));
        (0..).zip(&self.tallies).filter_map(move |(id, tally)| tally.as_ref().filter(of_holders).map(|tally| (id, tally)))
    }
}

#[cfg(test)]
mod tests {
    use object::{GroupResource, Rng, Value, json};
    use store::{Key, Object};

    use super::*;
    use crate::cache::Cache;
    use crate::config::Profile;
    use crate::plugins::{Defaults, Prepared};

    fn object(resource: &str, value: &Value) -> Object {
        let text = |name: &str| object::value::str_at(value, &["metadata", name]).to_owned();
        Object::new(Key::new(&GroupResource::new("", resource), &text("namespace"), &text("name")), 1, value)
    }

    fn node(rng: &mut Rng, name: &str) -> Object {
        let mut labels = json!({"host": name});
        if rng.below(4) > 0 {
            labels["zone"] = format!("z{}", rng.below(3)).into();
        }
        let taints = if rng.below(3) == 0 { json!([{"key": "k", "effect": "NoSchedule"}]) } else { json!([]) };
        object("nodes", &json!({"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}}))
    }

    fn pod(rng: &mut Rng, name: &str, node: &str) -> Object {
        let app = format!("a{}", rng.below(3));
        let mut pods = |key: &str| {
            let app = format!("a{}", rng.below(3));
            json!([{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}])
        };
        let required = "requiredDuringSchedulingIgnoredDuringExecution";
        let spec = json!({"nodeName": node,
            "affinity": {"podAntiAffinity": {required: pods("host")}, "podAffinity": {required: pods("zone")}},
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                "nodeTaintsPolicy": "Honor", "labelSelector": {"matchLabels": {"app": app}}}],
        });
        object("pods", &json!({"metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": app}}, "spec": spec}))
    }

    /// What a tally says of each domain, and of the emptiest.
    fn said(tallies: &Tallies) -> BTreeMap<TallyKey, (Vec<i32>, Option<i32>, u32, bool)> {
        let of = |(key, id): (&TallyKey, &TallyId)| {
            let tally = tallies.get(*id)?;
            let counts = (0..16).map(|domain| tally.count(domain)).collect();
            Some((key.clone(), (counts, tally.emptiest(), tally.domains(), tally.is_empty())))
        };
        tallies.ids.iter().filter_map(of).collect()
    }

    #[test]
    fn what_is_kept_up_is_what_would_be_counted() {
        for seed in 0..20 {
            let (mut rng, mut cache) = (Rng::new(seed), Cache::default());
            for step in 0..150 {
                let (name, host) = (format!("p{}", rng.below(12)), format!("n{}", rng.below(5)));
                match rng.below(6) {
                    0 => {
                        let node = node(&mut rng, &host);
                        cache.node_changed(&node.key.name, &node);
                    }
                    1 => cache.node_gone(&host),
                    2 => drop(cache.displace(&object("pods", &json!({"metadata": {"name": name, "namespace": "n"}})).key)),
                    _ => {
                        let object = pod(&mut rng, &name, &host);
                        let info = cache.read(&object);
                        Prepared::of(&info, &mut cache, &Profile::default().into(), &Defaults::default());
                        cache.place(&object.key, info);
                    }
                }
                let kept = said(&cache.tallies);
                let (tallies, world) = cache.counting();
                tallies.recount(world);
                for key in kept.keys() {
                    tallies.ask(key.clone(), world);
                }
                assert_eq!(kept, said(tallies), "seed {seed}, step {step}");
            }
        }
    }
}
