//! All devices that drivers have published, and which of them are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cel::{Activation, Program, Value as CelValue};
use object::scheduling::{MatchNode as _, NodeSelector};
use object::value::{at, i64_at, list_at, str_at};
use object::{Quantity, Value, json};
use serde::Deserialize;
use store::{Object, Store, View};

use super::group;
use super::views::ClaimView;
use crate::node_info::NodeInfo;

/// Driver, pool and device.
pub(super) type DeviceId = (String, String, String);

/// From which nodes the devices of a slice can be used.
#[derive(Clone, Debug)]
enum Reach {
    Node(String),
    All,
    Selected(NodeSelector, Value),
    Nowhere,
}

/// One device.
#[derive(Debug)]
pub(super) struct Device {
    pub id: DeviceId,
    /// As selectors see it.
    pub seen: CelValue,
    /// Attributes by their full names.
    pub attributes: BTreeMap<String, Value>,
}

/// A device, and the selector of the nodes that can use it; `None` for all.
pub(super) type Usable = (Arc<Device>, Option<Value>);

/// A ResourceSlice.
struct Slice {
    pool: (String, String),
    generation: i64,
    /// How many slices the pool has.
    count: i64,
    reach: Reach,
    devices: Vec<Arc<Device>>,
}

impl View for Slice {
    fn of(object: &Value) -> Self {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let (driver, pool) = (str_at(spec, &["driver"]), str_at(spec, &["pool", "name"]));
        let selector = at(spec, &["nodeSelector"]).and_then(|s| Some((NodeSelector::deserialize(s).ok()?, s.clone())));
        let all = at(spec, &["allNodes"]).and_then(Value::as_bool).unwrap_or(false);
        let reach = match (str_at(spec, &["nodeName"]), selector) {
            ("", None) if all => Reach::All,
            ("", Some((selector, json))) => Reach::Selected(selector, json),
            ("", None) => Reach::Nowhere,
            (node, _) => Reach::Node(node.to_owned()),
        };
        // Devices that share counters, or say themselves where they are, cannot be told apart from here.
        let plain = |device: &&Value| device.get("consumesCounters").is_none() && device.get("nodeName").is_none();
        Slice {
            pool: (driver.to_owned(), pool.to_owned()),
            generation: i64_at(spec, &["pool", "generation"]).unwrap_or(0),
            count: i64_at(spec, &["pool", "resourceSliceCount"]).unwrap_or(1),
            reach,
            devices: list_at(spec, &["devices"]).iter().filter(plain).map(|d| Arc::new(device(driver, pool, d))).collect(),
        }
    }
}

fn device(driver: &str, pool: &str, device: &Value) -> Device {
    let full = |name: &str| if name.contains('/') { name.to_owned() } else { format!("{driver}/{name}") };
    let (mut attributes, mut domains) = (BTreeMap::new(), BTreeMap::<String, BTreeMap<String, CelValue>>::new());
    for (name, attribute) in at(device, &["attributes"]).and_then(Value::as_object).into_iter().flatten() {
        let name = full(name);
        let (domain, id) = name.split_once('/').unwrap_or((driver, &name));
        domains.entry(domain.to_owned()).or_default().insert(id.to_owned(), seen(attribute));
        attributes.insert(name.clone(), attribute.clone());
    }
    let mut capacities = BTreeMap::<String, BTreeMap<String, CelValue>>::new();
    for (name, capacity) in at(device, &["capacity"]).and_then(Value::as_object).into_iter().flatten() {
        let name = full(name);
        let (domain, id) = name.split_once('/').unwrap_or((driver, &name));
        let amount = capacity.get("value").and_then(Quantity::from_json).unwrap_or_default();
        capacities.entry(domain.to_owned()).or_default().insert(id.to_owned(), CelValue::Quantity(amount));
    }
    let nested = |domains: BTreeMap<String, BTreeMap<String, CelValue>>| {
        // The driver's own domain is always there.
        let mut all: BTreeMap<String, CelValue> = BTreeMap::from([(driver.to_owned(), CelValue::map([]))]);
        all.extend(domains.into_iter().map(|(domain, values)| (domain, CelValue::map(values))));
        CelValue::map(all)
    };
    Device {
        id: (driver.to_owned(), pool.to_owned(), str_at(device, &["name"]).to_owned()),
        seen: CelValue::map([
            ("driver".to_owned(), driver.into()),
            ("attributes".to_owned(), nested(domains)),
            ("capacity".to_owned(), nested(capacities)),
        ]),
        attributes,
    }
}

/// An attribute as selectors see it: `{"string": "x"}`, `{"int": 1}`, `{"bool": true}` or `{"version": "1.2.3"}`.
fn seen(attribute: &Value) -> CelValue {
    if let Some(version) = attribute.get("version").and_then(Value::as_str) {
        let activation = Activation::new().with("v", version.into());
        let read = Program::compile("semver(v)", &["v"]).ok().and_then(|p| p.run(&activation, &mut 1_000).ok());
        return read.unwrap_or(CelValue::Null);
    }
    let plain = ["string", "int", "bool"].iter().find_map(|kind| attribute.get(*kind));
    plain.map_or(CelValue::Null, CelValue::from_json)
}

/// What can be had.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    slices: Vec<(Arc<Object>, bool)>,
    pub taken: BTreeSet<DeviceId>,
}

impl Inventory {
    /// The newest generation of every pool, whether all its slices are there, and what claims hold.
    pub fn of(store: &Store) -> Self {
        let all: Vec<Arc<Object>> = store.list(&group("resourceslices"), None).cloned().collect();
        let mut newest: BTreeMap<&(String, String), (i64, i64)> = BTreeMap::new();
        for slice in &all {
            let slice = slice.view::<Slice>();
            let known = newest.entry(&slice.pool).or_insert((slice.generation, 0));
            if slice.generation > known.0 {
                *known = (slice.generation, 0);
            }
            known.1 += i64::from(slice.generation == known.0);
        }
        let mut slices = Vec::new();
        for object in &all {
            let slice = object.view::<Slice>();
            if let Some((generation, number)) = newest.get(&slice.pool)
                && *generation == slice.generation
            {
                slices.push((object.clone(), *number == slice.count));
            }
        }
        let mut taken = BTreeSet::new();
        for claim in store.list(&group("resourceclaims"), None) {
            let allocation = claim.view::<ClaimView>().allocation.as_ref();
            for result in allocation.map(|a| list_at(a, &["devices", "results"])).into_iter().flatten() {
                let part = |name: &str| str_at(result, &[name]).to_owned();
                if result.get("adminAccess") != Some(&json!(true)) {
                    taken.insert((part("driver"), part("pool"), part("device")));
                }
            }
        }
        Inventory { slices, taken }
    }

    /// The devices that can be used from a node, each with the selector of the nodes that can use it; `None` if a pool is not
    /// complete.
    pub fn on(&self, node: &NodeInfo) -> (Vec<Usable>, bool) {
        let (mut devices, mut complete) = (Vec::new(), true);
        for (slice, whole) in &self.slices {
            let slice = slice.view::<Slice>();
            let reach = match &slice.reach {
                Reach::Node(name) if **name == *node.name => Some(named(name)),
                Reach::Selected(selector, json) if selector.matches(node.fields()) => Some(json.clone()),
                Reach::All => None,
                _ => continue,
            };
            complete &= whole;
            if *whole {
                devices.extend(slice.devices.iter().map(|device| (device.clone(), reach.clone())));
            }
        }
        (devices, complete)
    }
}

fn named(node: &str) -> Value {
    json!({"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]})
}
