//! Runs the controllers: tells each what changed, and lets each work off its queue in slices.

use apiserver::{ApiServer, UserInfo};
use object::events::Recorder;
use object::{Result, Time};
use store::{Event, Key, Progress, Store};

use crate::context::Context;
use crate::index::Index;
use crate::queue::{Backoff, Cause, WorkQueue};
use crate::{
    bootstrap, certificates, cluster_role_aggregation, cronjob, daemonset, deployment, disruption, endpoints, garbage,
    horizontal, job, load_balancer, namespace, node, policy_status, quota, replicaset, resource_claim, root_ca, service_account,
    service_cidr, statefulset, storage, token, ttl_after_finished,
};

/// What the controllers must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// PEM of the authority that signs the API's certificate.
    pub root_ca: String,
    /// Addresses of pods; every node gets a part of it.
    pub cluster_cidr: String,
    /// Whether nodes that come without a part of it get one: `--allocate-node-cidrs` of kube-controller-manager.
    pub allocate_node_cidrs: bool,
    /// The key of that authority (P-256, PKCS#8), if certificates are to be signed with it.
    pub signing_key: Vec<u8>,
    /// Addresses for Services of type LoadBalancer, as CIDRs with commas between them; without one nobody gives them any.
    pub load_balancer_ranges: String,
    /// Where the built-in provisioner's volumes are on nodes.
    pub volume_dir: String,
    /// Which controllers run, as `--controllers` of kube-controller-manager says it: `*` all, `foo` this one, `-foo` not
    /// this one.
    pub controllers: Vec<String>,
}

/// Controllers that `*` does not mean, as in kube-controller-manager; kubeadm names them.
const ONLY_BY_NAME: [&str; 2] = ["bootstrap-signer-controller", "token-cleaner-controller"];

/// Whether a list of names and exceptions means this controller. The first entry that names it counts.
fn is_enabled(name: &str, wanted: &[String]) -> bool {
    let said = wanted.iter().find_map(|entry| match entry.strip_prefix('-') {
        Some(other) => (other == name).then_some(false),
        None => (entry == name).then_some(true),
    });
    said.unwrap_or_else(|| !ONLY_BY_NAME.contains(&name) && wanted.iter().any(|entry| entry == "*"))
}

/// The names that such a list may hold.
pub fn controller_names() -> Vec<&'static str> {
    all(&Settings::default()).into_iter().map(|(name, _)| name).collect()
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            root_ca: String::new(),
            cluster_cidr: "10.244.0.0/16".to_owned(),
            allocate_node_cidrs: true,
            signing_key: Vec::new(),
            load_balancer_ranges: String::new(),
            volume_dir: "/var/local-path-provisioner".to_owned(),
            controllers: vec!["*".to_owned()],
        }
    }
}

/// One controller.
pub trait Controller {
    /// The name of its service account in `kube-system`.
    fn name(&self) -> &'static str;

    /// What its events say they come from.
    fn source(&self) -> &'static str {
        self.name()
    }

    /// Who it is to the API.
    fn user(&self) -> UserInfo {
        UserInfo::service_account("kube-system", self.name())
    }

    /// How long what fails waits before it is tried again.
    fn backoff(&self) -> Backoff {
        Backoff::default()
    }

    /// Names the keys that a change concerns.
    fn changed(&mut self, store: &Store, index: &Index, event: &Event, queue: &mut WorkQueue);

    /// Makes the world like the object at `key` says, as far as it can be done now.
    fn reconcile(&mut self, cx: &mut Context<'_>, key: &Key) -> Result<()>;
}

struct Running {
    controller: Box<dyn Controller + Send>,
    user: UserInfo,
    recorder: Recorder,
    queue: WorkQueue,
}

/// All controllers, as kube-controller-manager calls them; their service accounts have names of their own.
fn all(settings: &Settings) -> Vec<(&'static str, Box<dyn Controller + Send>)> {
    vec![
        ("namespace-controller", Box::new(namespace::NamespaceController)),
        ("serviceaccount-controller", Box::new(service_account::ServiceAccountController)),
        ("serviceaccount-token-controller", Box::new(token::TokenController)),
        ("root-ca-certificate-publisher-controller", Box::new(root_ca::RootCaPublisher)),
        ("deployment-controller", Box::new(deployment::DeploymentController)),
        ("replicaset-controller", Box::new(replicaset::ReplicaController::of_sets())),
        ("replicationcontroller-controller", Box::new(replicaset::ReplicaController::of_controllers())),
        ("job-controller", Box::new(job::JobController::default())),
        ("cronjob-controller", Box::new(cronjob::CronJobController)),
        ("statefulset-controller", Box::new(statefulset::StatefulSetController)),
        ("daemonset-controller", Box::new(daemonset::DaemonSetController::default())),
        ("ttl-after-finished-controller", Box::new(ttl_after_finished::TtlAfterFinishedController)),
        ("endpointslice-controller", Box::new(endpoints::EndpointSliceController::default())),
        ("endpointslice-mirroring-controller", Box::new(endpoints::EndpointSliceMirroringController)),
        ("endpoints-controller", Box::new(endpoints::EndpointsController::default())),
        ("node-lifecycle-controller", Box::new(node::NodeLifecycleController::default())),
        ("taint-eviction-controller", Box::new(node::TaintEvictionController::default())),
        ("ttl-controller", Box::new(node::TtlController::default())),
        ("node-ipam-controller", Box::new(node::NodeIpamController::new(&settings.cluster_cidr))),
        ("disruption-controller", Box::new(disruption::DisruptionController)),
        ("resourceclaim-controller", Box::new(resource_claim::ResourceClaimController)),
        ("resourcequota-controller", Box::new(quota::ResourceQuotaController)),
        ("validatingadmissionpolicy-status-controller", Box::new(policy_status::PolicyStatusController)),
        ("persistentvolumeclaim-protection-controller", Box::new(storage::PvcProtectionController)),
        ("persistentvolume-protection-controller", Box::new(storage::PvProtectionController)),
        ("volumeattributesclass-protection-controller", Box::new(storage::VacProtectionController)),
        ("ephemeral-volume-controller", Box::new(storage::EphemeralVolumeController)),
        ("persistentvolume-expander-controller", Box::new(storage::VolumeExpander)),
        ("persistentvolume-attach-detach-controller", Box::new(storage::AttachDetachController::default())),
        ("hostpath-provisioner", Box::new(storage::Provisioner)),
        ("clusterrole-aggregation-controller", Box::new(cluster_role_aggregation::ClusterRoleAggregation)),
        ("horizontal-pod-autoscaler-controller", Box::new(horizontal::HorizontalController::default())),
        ("service-cidr-controller", Box::new(service_cidr::ServiceCidrController)),
        ("bootstrap-signer-controller", Box::new(bootstrap::BootstrapSigner)),
        ("token-cleaner-controller", Box::new(bootstrap::TokenCleaner)),
        ("certificatesigningrequest-approving-controller", Box::new(certificates::CertificateApprover)),
        (
            "certificatesigningrequest-signing-controller",
            Box::new(certificates::CertificateSigner::new(&settings.root_ca, &settings.signing_key)),
        ),
        ("certificatesigningrequest-cleaner-controller", Box::new(certificates::CertificateCleaner)),
        ("service-lb-controller", Box::new(load_balancer::ServiceLoadBalancers::new(&settings.load_balancer_ranges))),
        ("persistentvolume-binder-controller", Box::new(storage::VolumeBinder::default())),
        ("garbage-collector-controller", Box::new(garbage::GarbageCollector::default())),
        ("pod-garbage-collector-controller", Box::new(node::PodGarbageCollector::default())),
    ]
}

/// All controllers and how far they have followed the store.
pub struct Manager {
    settings: Settings,
    running: Vec<Running>,
    index: Index,
    /// Everything up to this revision was told to the controllers; `None` before the first run.
    followed: Option<u64>,
    /// Whose turn it is.
    turn: usize,
}

impl Manager {
    /// All controllers, at work from the first run on.
    pub fn new(settings: Settings) -> Self {
        let running = all(&settings)
            .into_iter()
            .filter(|(name, _)| is_enabled(name, &settings.controllers))
            .map(|(_, controller)| Running {
                user: controller.user(),
                recorder: Recorder::new(controller.source(), ""),
                queue: WorkQueue::new(controller.backoff()),
                controller,
            })
            .collect();
        Manager { settings, running, index: Index::default(), followed: None, turn: 0 }
    }

    /// Whether there is no controller to run.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Reconciles at most `budget` keys, one controller after another.
    pub fn run(&mut self, api: &mut ApiServer, now: Time, budget: u32) -> Progress {
        let mut left = budget;
        self.follow(api.store());
        while left > 0 {
            let Some(at) = self.next_ready(now) else { break };
            let Running { controller, user, recorder, queue } = &mut self.running[at];
            if let Some(key) = queue.pop(now) {
                api.reacting_to(queue.cause().revision);
                let mut cx = Context { now, index: &self.index, queue, settings: &self.settings, api, user, recorder };
                let result = controller.reconcile(&mut cx, &key);
                let retried = result.is_err();
                match result {
                    Ok(()) => queue.forget(&key),
                    Err(_) => queue.add_rate_limited(key, now),
                }
                api.worked(controller.name(), retried, queue.added(), queue.depth());
                left -= 1;
                self.follow(api.store());
            }
            self.turn = (at + 1) % self.running.len();
        }
        api.reacting_to(0);
        let more = self.running.iter().any(|r| r.queue.has_ready(now));
        Progress { more, wake_at: self.running.iter().filter_map(|r| r.queue.next_at()).min() }
    }

    fn next_ready(&self, now: Time) -> Option<usize> {
        let count = self.running.len();
        (0..count).map(|i| (self.turn + i) % count).find(|at| self.running[*at].queue.has_ready(now))
    }

    /// Tells the controllers what changed since the last time, or everything at the beginning.
    fn follow(&mut self, store: &Store) {
        let events: Option<Vec<Event>> =
            self.followed.and_then(|from| store.events_since(from).ok()).map(|events| events.cloned().collect());
        match events {
            Some(events) => {
                for event in &events {
                    self.index.update(event);
                }
                for event in &events {
                    self.tell(store, event);
                }
            }
            None => {
                self.index = Index::build(store);
                let resources: Vec<_> = store.current().resources().cloned().collect();
                for resource in &resources {
                    for object in store.list(resource, None) {
                        let event = Event { revision: object.revision, old: None, new: Some(object.clone()) };
                        self.tell(store, &event);
                    }
                }
            }
        }
        self.followed = Some(store.revision());
    }

    fn tell(&mut self, store: &Store, event: &Event) {
        let cause = Cause { revision: event.revision, of_wishes: is_of_wishes(event) };
        for running in &mut self.running {
            running.queue.reacting_to(cause);
            running.controller.changed(store, &self.index, event, &mut running.queue);
        }
    }
}

/// Whether a change is one of what somebody wants: an object comes, is to go, goes, or has another spec.
fn is_of_wishes(event: &Event) -> bool {
    let (Some(old), Some(new)) = (&event.old, &event.new) else { return true };
    old.meta.generation != new.meta.generation || old.meta.deletion_timestamp != new.meta.deletion_timestamp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_chosen_by_name() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (wanted, enabled) in [
            (names(&["*"]), true),
            (names(&["*", "-namespace-controller"]), false),
            (names(&["namespace-controller", "-namespace-controller"]), true),
            (names(&["namespace-controller"]), true),
            (names(&["deployment-controller"]), false),
            (names(&[]), false),
        ] {
            assert_eq!(is_enabled("namespace-controller", &wanted), enabled, "{wanted:?}");
        }
    }
}
