//! The algorithm alone, without queue and API: nodes and pods go in, names of nodes come out. For measuring, and for tools that ask
//! where pods would go.

use std::sync::Arc;

use object::{GroupResource, Value};
use store::{Key, Object, Store};

use crate::cache::Cache;
use crate::config::Profile;
use crate::pod_info::PodInfo;
use crate::search::{self, Attempt, Search};
use crate::words;

/// Places pods one after another.
pub struct Placer {
    cache: Cache,
    search: Search,
    profile: Arc<Profile>,
    store: Store,
}

impl Placer {
    /// One that knows no node.
    pub fn new(profile: Profile, seed: u64) -> Self {
        let store = Store::new(0);
        Placer { cache: Cache::default(), search: Search::new(seed), profile: Arc::new(profile), store }
    }

    /// A Node object is new or has changed.
    pub fn node(&mut self, node: &Value) {
        let object = stored("nodes", node);
        self.cache.node_changed(&object.key.name, &object);
    }

    /// Finds a node for a pod and puts it there. An error says why none fits.
    pub fn place(&mut self, pod: &Value) -> Result<Arc<str>, String> {
        let object = stored("pods", pod);
        let pod = self.cache.read(&object);
        let ground = match self.search.prepare(&pod, &mut self.cache, &self.store, &self.profile) {
            Ok(ground) => ground,
            Err(refused) => {
                let verdict = search::nowhere(&mut self.cache, &refused);
                return Err(words::unschedulable(&verdict, &self.cache.resources, None));
            }
        };
        let attempt = self.search.find(&pod, &ground, &mut self.cache, &self.store);
        self.search.keep(&pod, ground.prepared, &self.cache);
        match attempt {
            Attempt::Node(slot) => {
                let node_name = self.cache.at(slot).map(|node| node.name.clone()).unwrap_or_default();
                let placed = PodInfo { node_name: node_name.clone(), ..(*pod).clone() };
                self.cache.place(&object.key, Arc::new(placed));
                Ok(node_name)
            }
            Attempt::Nowhere(verdict) => Err(words::unschedulable(&verdict, &self.cache.resources, None)),
        }
    }
}

fn stored(resource: &str, value: &Value) -> Object {
    let text = |name: &str| object::value::str_at(value, &["metadata", name]).to_owned();
    Object::new(Key::new(&GroupResource::new("", resource), &text("namespace"), &text("name")), 1, value)
}
