//! DefaultPreemption: which pods of lower priority have to go so that a pod fits, and from which node.
//!
//! Chooses only; deletes nothing. <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/>

use object::order::Order as _;
use std::cmp::Reverse;
use std::sync::Arc;

use object::selector::LabelSelector;
use object::value::{at, i64_at};
use object::{GroupResource, Rng, Value};
use store::{Store, View};

use crate::cache::Cache;
use crate::plugins::{self, Rejection, Verdict};
use crate::pod_info::PodInfo;
use crate::search::Ground;
use crate::words;

/// What makes priorities positive, so that their sum counts pods too.
const PRIORITY_OFFSET: i64 = i32::MAX as i64 + 1;

/// A node that pods can be pushed off.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// The node.
    pub node: Arc<str>,
    /// Who has to go, the most important first.
    pub victims: Vec<Arc<PodInfo>>,
    /// How many disruption budgets that breaks.
    violations: usize,
}

/// A PodDisruptionBudget, as far as it counts here.
struct Budget {
    selector: LabelSelector,
    allowed: i64,
    disrupted: Vec<String>,
}

impl View for Budget {
    fn of(object: &Value) -> Self {
        let selector = at(object, &["spec", "selector"]).and_then(|s| LabelSelector::from_json(s).ok());
        let disrupted = at(object, &["status", "disruptedPods"]).and_then(Value::as_object);
        Budget {
            selector: selector.filter(|s| !s.is_empty()).unwrap_or_else(LabelSelector::nothing),
            allowed: i64_at(object, &["status", "disruptionsAllowed"]).unwrap_or(0),
            disrupted: disrupted.into_iter().flatten().map(|(name, _)| name.clone()).collect(),
        }
    }
}

/// What one pod's preemption is decided on.
pub(crate) struct Preemption<'a> {
    /// The pod that needs room.
    pub pod: &'a PodInfo,
    /// The cluster. It is as it was when all is said.
    pub cache: &'a mut Cache,
    /// `None` where something rules out every node.
    pub ground: Option<&'a Ground>,
    /// Where the disruption budgets are.
    pub store: &'a Store,
    /// The least share of nodes that are tried, in percent, and the least number.
    pub enough: (i64, i64),
}

/// A budget in its namespace.
type Budgets<'a> = Vec<(Arc<str>, &'a Budget)>;

impl Preemption<'_> {
    /// Whether the pod may push others off; if not, why.
    pub fn eligible(&self, verdict: &Verdict) -> Result<(), String> {
        let pod = self.pod;
        if !pod.preempts {
            return Err("not eligible due to preemptionPolicy=Never.".to_owned());
        }
        let Some(node) = self.cache.node(&pod.nominated_node) else { return Ok(()) };
        let hopeless = verdict.rejections.iter().any(|(slot, r)| *slot == node.slot && !r.resolvable);
        let ends = |other: &Arc<PodInfo>| other.priority < pod.priority && other.deleting && other.preempted;
        if !hopeless && node.pods.values().any(ends) {
            return Err("not eligible due to a terminating pod on the nominated node.".to_owned());
        }
        Ok(())
    }

    /// The best node to make room on; or why there is none.
    pub fn find(&mut self, verdict: &Verdict, rng: &mut Rng) -> Result<Candidate, String> {
        let total = verdict.rejections.len();
        let possible: Vec<u32> = verdict.rejections.iter().filter(|(_, r)| r.resolvable).map(|(slot, _)| *slot).collect();
        let (percent, number) = self.enough;
        let enough = (total as i64 * percent / 100).max(number).min(total as i64) as usize;
        let offset = if possible.is_empty() { 0 } else { rng.below(possible.len() as u64) as usize };
        let mut reasons = vec!["Preemption is not helpful for scheduling".to_owned(); total - possible.len()];
        let mut candidates: Vec<Candidate> = Vec::new();
        let resource = GroupResource::literal("policy", "poddisruptionbudgets");
        let store = self.store;
        let budgets: Budgets<'_> = store.list(&resource, None).map(|o| (o.key.namespace.clone(), o.view::<Budget>())).collect();
        let (before, after) = possible.split_at(offset);
        for slot in after.iter().chain(before) {
            match self.victims(*slot, &budgets) {
                Ok(candidate) => candidates.push(candidate),
                Err(rejection) => reasons.extend(rejection.reasons(&self.cache.resources)),
            }
            if candidates.len() >= enough && candidates.iter().any(|candidate| candidate.violations == 0) {
                break;
            }
        }
        candidates.order_by(|a, b| a.node.cmp(&b.node));
        let none = || words::available(total, reasons.iter().map(String::as_str));
        candidates.into_iter().min_by_key(Candidate::cost).ok_or_else(none)
    }

    /// Who has to leave this node: all of lower priority, less those that can stay after all. Those whose budget would be
    /// broken are spared first, and among them the more important.
    fn victims(&mut self, slot: u32, budgets: &Budgets<'_>) -> Result<Candidate, Rejection> {
        let (pod, Some(ground), Some(node)) = (self.pod, self.ground, self.cache.at(slot)) else {
            return Err(plugins::no_victims());
        };
        let name = node.name.clone();
        let is_lower =
            |class: &u32| self.cache.tallies.get_class(*class).is_some_and(|class| class.template.priority < pod.priority);
        if !node.classes.keys().any(is_lower) {
            return Err(plugins::no_victims());
        }
        let mut lower: Vec<Arc<PodInfo>> = node.pods.values().filter(|other| other.priority < pod.priority).cloned().collect();
        for other in &lower {
            self.cache.take(slot, &other.uid);
        }
        if let Err(rejection) = self.fits(slot, ground) {
            for other in lower {
                self.cache.put(slot, other);
            }
            return Err(rejection);
        }
        lower.order_by(by_importance);
        let (violating, others) = by_budget(lower, budgets);
        let (mut victims, mut violations) = (Vec::new(), 0);
        for (list, counts) in [(violating, 1), (others, 0)] {
            for other in list {
                self.cache.put(slot, other.clone());
                if self.fits(slot, ground).is_err() {
                    self.cache.take(slot, &other.uid);
                    violations += counts;
                    victims.push(other);
                }
            }
        }
        for victim in &victims {
            self.cache.put(slot, victim.clone());
        }
        victims.order_by(by_importance);
        Ok(Candidate { node: name, victims, violations })
    }

    fn fits(&mut self, slot: u32, ground: &Ground) -> Result<(), Rejection> {
        plugins::filter_with_nominated(self.pod, slot, (&ground.prepared, &ground.attached, self.store), self.cache)
    }
}

/// Those whose disruption would break a budget, and the others.
fn by_budget(pods: Vec<Arc<PodInfo>>, budgets: &Budgets<'_>) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut budgets: Vec<(&Arc<str>, &Budget, i64)> = budgets.iter().map(|(ns, b)| (ns, *b, b.allowed)).collect();
    pods.into_iter().partition(|pod| {
        let mut violates = false;
        for (_, budget, left) in budgets.iter_mut().filter(|(namespace, ..)| **namespace == pod.namespace) {
            let counts = !pod.labels.is_empty() && budget.selector.matches(&pod.labels);
            if counts && !budget.disrupted.iter().any(|name| **name == *pod.name) {
                *left -= 1;
                violates |= *left < 0;
            }
        }
        violates
    })
}

fn by_importance(a: &Arc<PodInfo>, b: &Arc<PodInfo>) -> std::cmp::Ordering {
    b.is_more_important(a).cmp(&a.is_more_important(b))
}

impl Candidate {
    /// Less is better: broken budgets, the highest priority, the sum of priorities, the number; then a later start of the
    /// most important.
    fn cost(&self) -> (usize, i64, i64, usize, Reverse<(bool, String)>) {
        let highest = self.victims.first().map_or(i64::MIN, |pod| pod.priority);
        let sum = self.victims.iter().map(|pod| pod.priority + PRIORITY_OFFSET).sum();
        let start = |pod: &Arc<PodInfo>| (pod.start_time.is_empty(), pod.start_time.clone());
        let earliest = self.victims.iter().filter(|pod| pod.priority == highest).map(start).min().unwrap_or_default();
        (self.violations, highest, sum, self.victims.len(), Reverse(earliest))
    }
}
