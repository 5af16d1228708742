//! The choice of devices for the open claims of a pod on one node: a search that goes back where it has gone wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use object::value::list_at;
use object::{Value, json};
use store::{Key, Object, Store};

use super::inventory::{Device, DeviceId, Inventory, Usable};
use super::views::{ClaimView, ClassView, Want};
use super::{group, text};
use crate::node_info::NodeInfo;

/// Steps after which the search gives up.
const MAX_STEPS: u32 = 100_000;
/// A claim cannot have more devices.
const MAX_DEVICES: usize = 32;

/// What is wanted, and from what.
#[derive(Debug)]
pub(super) struct Allocator {
    claims: Vec<Arc<Object>>,
    classes: Vec<Arc<Object>>,
    inventory: Inventory,
}

/// One device that was chosen.
struct Chosen {
    claim: usize,
    request: String,
    admin: bool,
    class: String,
    device: Arc<Device>,
    reach: Option<Value>,
}

/// A search on one node.
struct Search<'a> {
    of: &'a Allocator,
    devices: &'a [Usable],
    complete: bool,
    used: BTreeSet<DeviceId>,
    chosen: Vec<Chosen>,
    steps: u32,
}

impl Allocator {
    /// For these claims. An error says which class does not exist.
    pub fn of(claims: &[Arc<Object>], inventory: Inventory, store: &Store) -> Result<Self, String> {
        let mut classes: Vec<Arc<Object>> = Vec::new();
        for want in claims.iter().flat_map(|claim| &claim.view::<ClaimView>().requests).flatten() {
            if classes.iter().any(|class| *class.key.name == *want.class) {
                continue;
            }
            match store.get(&Key::new(&group("deviceclasses"), "", &want.class)) {
                Some(class) => classes.push(class.clone()),
                None => return Err(format!("request {}: device class {} does not exist", want.name, want.class)),
            }
        }
        Ok(Allocator { claims: claims.to_vec(), classes, inventory })
    }

    fn class(&self, name: &str) -> Option<&ClassView> {
        self.classes.iter().find(|class| *class.key.name == *name).map(|class| class.view::<ClassView>())
    }

    /// The allocation of each claim on a node, or `None` if they cannot all have what they want.
    pub fn allocate(&self, node: &NodeInfo) -> Option<Vec<Value>> {
        let (devices, complete) = self.inventory.on(node);
        let used = self.inventory.taken.clone();
        let mut search = Search { of: self, devices: &devices, complete, used, chosen: Vec::new(), steps: 0 };
        search.request(0, 0).then(|| (0..self.claims.len()).map(|claim| self.allocation(claim, &search.chosen)).collect())
    }

    fn allocation(&self, claim: usize, chosen: &[Chosen]) -> Value {
        let mine = || chosen.iter().filter(|one| one.claim == claim);
        let result = |one: &Chosen| {
            let (driver, pool, device) = &one.device.id;
            let mut result = json!({"request": one.request, "driver": driver, "pool": pool, "device": device});
            if one.admin {
                result["adminAccess"] = true.into();
            }
            result
        };
        let mut config: Vec<Value> = Vec::new();
        let mut seen = BTreeSet::new();
        for one in mine().filter(|one| seen.insert(one.request.clone())) {
            for entry in self.class(&one.class).map(|class| &class.config).into_iter().flatten() {
                let mut entry = entry.clone();
                entry["source"] = "FromClass".into();
                entry["requests"] = json!([one.request]);
                config.push(entry);
            }
        }
        for entry in self.claims.get(claim).map(|claim| &claim.view::<ClaimView>().config).into_iter().flatten() {
            let mut entry = entry.clone();
            entry["source"] = "FromClaim".into();
            config.push(entry);
        }
        let mut devices = json!({"results": mine().map(result).collect::<Vec<_>>()});
        if !config.is_empty() {
            devices["config"] = config.into();
        }
        let mut allocation = json!({"devices": devices});
        let reach = mine().filter_map(|one| one.reach.as_ref());
        // The narrowest says it: a device of one node keeps the claim there.
        if let Some(reach) = reach.max_by_key(|reach| list_at(reach, &["nodeSelectorTerms"]).iter().any(names_node)) {
            allocation["nodeSelector"] = reach.clone();
        }
        allocation
    }
}

fn names_node(term: &Value) -> bool {
    list_at(term, &["matchFields"]).iter().any(|field| text(field, &["key"]) == "metadata.name")
}

impl Search<'_> {
    /// Serves this request of this claim and all that follow. The depth is bounded by the numbers of requests and devices.
    fn request(&mut self, claim: usize, request: usize) -> bool {
        let Some(view) = self.of.claims.get(claim).map(|claim| claim.view::<ClaimView>()) else { return true };
        let Some(wants) = view.requests.get(request) else { return self.request(claim + 1, 0) };
        wants.iter().any(|want| {
            let count = want.count.map_or_else(|| self.matching(want), |count| Some(count as usize));
            count.is_some_and(|count| self.pick((claim, request), want, count, 0))
        })
    }

    /// How many devices there are for a request that wants all; they must all be free. A pool that is not complete has more.
    fn matching(&self, want: &Want) -> Option<usize> {
        let number = self.devices.iter().filter(|(device, _)| self.suits(want, device)).count();
        (self.complete && number > 0 && number <= MAX_DEVICES).then_some(number)
    }

    fn suits(&self, want: &Want, device: &Device) -> bool {
        self.of.class(&want.class).is_some_and(|class| class.selectors.matches(&device.seen))
            && want.selectors.matches(&device.seen)
    }

    /// Picks `left` more devices from `from` on, then goes on with the next request.
    fn pick(&mut self, (claim, request): (usize, usize), want: &Want, left: usize, from: usize) -> bool {
        if left == 0 {
            return self.request(claim, request + 1);
        }
        if self.chosen.iter().filter(|one| one.claim == claim).count() >= MAX_DEVICES {
            return false;
        }
        for (i, (device, reach)) in self.devices.iter().enumerate().skip(from) {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return false;
            }
            let free = want.admin || !self.used.contains(&device.id);
            if !free || !self.suits(want, device) || !self.agrees(claim, want, device) {
                continue;
            }
            let newly = !want.admin && self.used.insert(device.id.clone());
            self.chosen.push(Chosen {
                claim,
                request: want.name.clone(),
                admin: want.admin,
                class: want.class.clone(),
                device: device.clone(),
                reach: reach.clone(),
            });
            if self.pick((claim, request), want, left - 1, i + 1) {
                return true;
            }
            self.chosen.pop();
            if newly {
                self.used.remove(&device.id);
            }
        }
        false
    }

    /// Whether a device keeps the constraints of its claim with those that were chosen.
    fn agrees(&self, claim: usize, want: &Want, device: &Device) -> bool {
        let Some(view) = self.of.claims.get(claim).map(|claim| claim.view::<ClaimView>()) else { return false };
        view.constraints.iter().filter(|constraint| constraint.concerns(&want.name)).all(|constraint| {
            let Some(value) = device.attributes.get(&constraint.attribute) else { return false };
            let others = self.chosen.iter().filter(|one| one.claim == claim && constraint.concerns(&one.request));
            let mut same = others.map(|one| one.device.attributes.get(&constraint.attribute) == Some(value));
            if constraint.distinct { same.all(|same| !same) } else { same.all(|same| same) }
        })
    }
}
