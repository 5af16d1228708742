//! What must always hold, as a table. Each invariant is one function with a name; most look at one change at a time, some at
//! the whole once faults have stopped.

mod objects;
mod pods;
mod rest;
mod workloads;

use std::sync::Arc;

use store::{Event, Object};

use super::Sabotage;
use super::check::Memory;
use super::node::Machine;

/// A change and the world before it.
pub struct Change<'a> {
    /// The change.
    pub event: &'a Event,
    /// Everything as it was before.
    pub memory: &'a Memory,
    /// The verb of the request that made it.
    pub verb: &'static str,
    /// What is deliberately wrong.
    pub sabotage: Option<Sabotage>,
}

impl<'a> Change<'a> {
    /// The object before and after, if it was there both times.
    pub fn both(&self) -> Option<(&'a Arc<Object>, &'a Arc<Object>)> {
        self.event.old.as_ref().zip(self.event.new.as_ref()).filter(|(old, new)| old.meta.uid == new.meta.uid)
    }

    /// The object, if it is new.
    pub fn created(&self) -> Option<&'a Arc<Object>> {
        self.event.new.as_ref().filter(|_| self.event.old.is_none())
    }
}

/// The world when nothing fails any more.
pub struct Rest<'a> {
    /// Everything there is.
    pub memory: &'a Memory,
    /// The nodes.
    pub machines: &'a [Machine],
}

/// What comes of a look.
pub type Verdict = Result<(), String>;

/// When an invariant is looked at.
pub enum Moment {
    /// At each change of these resources (none: of all).
    Change(&'static [&'static str], fn(&Change<'_>) -> Verdict),
    /// When everything has come to rest; until then it may fail.
    Rest(fn(&Rest<'_>) -> Verdict),
    /// In the machinery around: journal, network, nodes.
    Around,
}

/// One invariant.
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// When it is looked at, and how.
    pub moment: Moment,
}

const fn change(name: &'static str, of: &'static [&'static str], check: fn(&Change<'_>) -> Verdict) -> Invariant {
    Invariant { name, moment: Moment::Change(of, check) }
}

const fn at_rest(name: &'static str, check: fn(&Rest<'_>) -> Verdict) -> Invariant {
    Invariant { name, moment: Moment::Rest(check) }
}

const fn around(name: &'static str) -> Invariant {
    Invariant { name, moment: Moment::Around }
}

/// All invariants.
pub static INVARIANTS: &[Invariant] = &[
    around("the-control-plane-does-not-panic"),
    around("revisions-have-no-gaps"),
    around("no-answered-write-lost"),
    around("durable-before-visible"),
    around("watches-equal-lists"),
    around("watches-are-told"),
    around("users-are-answered"),
    around("one-pod-per-identity-runs"),
    around("nothing-turns-in-circles"),
    change("uids-are-unique", &[], objects::uids_are_unique),
    change("identity-stays", &[], objects::identity_stays),
    change("deletion-is-not-taken-back", &[], objects::deletion_is_not_taken_back),
    change("finalizers-are-waited-for", &[], objects::finalizers_are_waited_for),
    change("foreground-waits-for-dependants", &[], objects::foreground_waits),
    change("nothing-new-in-an-ending-namespace", &[], objects::nothing_new_in_an_ending_namespace),
    change("observed-generation-is-not-ahead", &[], objects::observed_generation_is_not_ahead),
    change("service-addresses-are-unique", &["services"], objects::service_addresses_are_unique),
    change("node-networks-are-unique", &["nodes"], objects::node_networks_are_unique),
    change("a-volume-has-one-claim", &["persistentvolumeclaims", "persistentvolumes"], objects::a_volume_has_one_claim),
    change("quota-is-not-exceeded", &["pods", "configmaps"], objects::quota_is_not_exceeded),
    change("a-bound-pod-stays", &["pods"], pods::a_bound_pod_stays),
    change("an-ended-pod-stays-ended", &["pods"], pods::an_ended_pod_stays_ended),
    change("a-pod-fits-where-it-is-bound", &["pods"], pods::a_pod_fits_where_it_is_bound),
    change("evictions-honour-budgets", &["pods"], pods::evictions_honour_budgets),
    change("a-set-has-no-surplus", &["pods"], workloads::a_set_has_no_surplus),
    change("a-rollout-keeps-to-max-surge", &["replicasets"], workloads::a_rollout_keeps_to_max_surge),
    change("a-rollout-keeps-to-max-unavailable", &["replicasets"], workloads::a_rollout_keeps_to_max_unavailable),
    change("a-stateful-set-goes-in-order", &["pods"], workloads::a_stateful_set_goes_in_order),
    change("one-daemon-per-node", &["pods"], workloads::one_daemon_per_node),
    change("a-job-counts-its-pods", &["jobs"], workloads::a_job_counts_its_pods),
    change("job-indexes-are-unique", &["pods"], workloads::job_indexes_are_unique),
    change("a-forbidding-cron-job-has-one-job", &["jobs"], workloads::a_forbidding_cron_job_has_one_job),
    at_rest("nodes-are-ready", rest::nodes_are_ready),
    at_rest("deletions-end", rest::deletions_end),
    at_rest("no-orphans-are-left", rest::no_orphans_are_left),
    at_rest("generations-are-observed", rest::generations_are_observed),
    at_rest("pods-that-fit-are-bound", rest::pods_that_fit_are_bound),
    at_rest("bound-pods-run", rest::bound_pods_run),
    at_rest("sets-have-their-pods", rest::sets_have_their_pods),
    at_rest("claims-that-fit-are-bound", rest::claims_that_fit_are_bound),
    at_rest("rollouts-end", rest::rollouts_end),
    at_rest("stateful-sets-are-whole", rest::stateful_sets_are_whole),
    at_rest("daemons-are-everywhere", rest::daemons_are_everywhere),
    at_rest("jobs-end", rest::jobs_end),
    at_rest("slices-show-ready-pods", rest::slices_show_ready_pods),
    at_rest("budgets-are-current", rest::budgets_are_current),
    at_rest("quotas-are-current", rest::quotas_are_current),
    at_rest("nodes-run-what-is-bound", rest::nodes_run_what_is_bound),
];

/// Notes what later looks need to know of the past.
pub fn remember(memory: &mut Memory, new: &Arc<Object>) {
    if &*new.key.resource.resource == "pods"
        && new.view::<super::facts::PodFacts>().phase == "Succeeded"
        && let Some(owner) = new.meta.controller()
    {
        memory.succeeded.entry(owner.uid.clone()).or_default().insert(new.meta.uid.clone());
    }
}
