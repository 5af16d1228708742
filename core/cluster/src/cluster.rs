//! The order of work in a step.

use apiserver::{ApiServer, Settings, UserInfo, gvr};
use controllers::Manager;
use object::Time;
use scheduler::Scheduler;
use store::Progress;

use crate::explanations;
use crate::leader::Leader;
use crate::simulated::SimulatedNodes;
use crate::wire::{Config, Input, Output, Request, StepOutput};

/// Keys that controllers reconcile in one step at most.
const CONTROLLERS_BUDGET: u32 = 32;
/// Pods that one step places at most.
const SCHEDULER_BUDGET: u32 = 32;
/// Writes that simulated nodes make in one step, about.
const NODES_BUDGET: u32 = 64;

/// Events that the scheduler, and the simulated nodes, each write in one step that has nothing else to do...
const EVENTS_BUDGET: u32 = 64;
/// ...and in one that has.
const EVENTS_BUDGET_BUSY: u32 = 4;

/// A whole control plane.
#[derive(Default)]
pub struct Cluster {
    state: State,
}

/// How far a control plane's life has got.
#[derive(Default)]
enum State {
    /// It knows nothing yet.
    #[default]
    Empty,
    /// It takes back what the journal holds.
    Restoring(Box<Parts>),
    /// It serves.
    Serving(Box<Parts>),
}

/// What a configured control plane is made of.
struct Parts {
    api: ApiServer,
    controllers: Manager,
    scheduler: Option<Scheduler>,
    nodes: SimulatedNodes,
    default_storage_class: bool,
    /// For the controllers' Lease and the scheduler's.
    candidates: Option<(Leader, Leader)>,
}

impl Cluster {
    /// A control plane that waits for [`Input::Configure`].
    pub fn new() -> Self {
        Cluster::default()
    }

    /// Takes what happened, does a bounded amount of work, and says what should happen outside.
    ///
    /// `now` must not go backwards. Answers and watch events must not leave before the `Journal` outputs that stand
    /// before them are durable. Requests come first; what is left of the step goes in slices to the parts of the control
    /// plane that work by themselves.
    pub fn step(&mut self, now: Time, inputs: Vec<Input>) -> StepOutput {
        let mut refused = Vec::new();
        for input in inputs {
            self.take(now, input, &mut refused);
        }
        let State::Serving(parts) = &mut self.state else { return StepOutput { outputs: refused, wake_at: None } };
        let progress = parts.work(now);
        let outputs = parts.api.take_outputs();
        let mut outputs = parts.nodes.answer(now, outputs);
        explanations::answer(parts.scheduler.as_mut(), parts.api.store(), now, &mut outputs);
        outputs.append(&mut refused);
        let progress = progress.and(Progress { more: false, wake_at: parts.nodes.logs_wake(now) });
        StepOutput { outputs, wake_at: if progress.more { Some(now) } else { progress.wake_at } }
    }

    /// The API server, to look into; `None` before [`Input::Configure`].
    pub fn api(&self) -> Option<&ApiServer> {
        match &self.state {
            State::Empty => None,
            State::Restoring(parts) | State::Serving(parts) => Some(&parts.api),
        }
    }

    fn take(&mut self, now: Time, input: Input, refused: &mut Vec<Output>) {
        let state = std::mem::take(&mut self.state);
        self.state = match (state, input) {
            (State::Empty, Input::Configure(config)) => State::Restoring(Box::new(Parts::new(*config))),
            (State::Restoring(mut parts), Input::Restore(records)) => {
                parts.api.restore(records);
                State::Restoring(parts)
            }
            (State::Restoring(mut parts), Input::Start { revision }) => {
                parts.api.start(now, revision);
                parts.furnish(now, revision);
                State::Serving(parts)
            }
            (State::Serving(mut parts), Input::Request(request)) => {
                parts.api.handle(now, request);
                State::Serving(parts)
            }
            (State::Serving(mut parts), Input::Closed(stream)) => {
                parts.api.closed(stream);
                parts.nodes.closed(stream);
                State::Serving(parts)
            }
            (State::Serving(mut parts), Input::Health(health)) => {
                parts.api.host_health(health);
                State::Serving(parts)
            }
            (State::Serving(mut parts), Input::Measured(measured)) => {
                parts.api.measured(measured);
                State::Serving(parts)
            }
            (State::Serving(mut parts), Input::Answered { call, reply }) => {
                parts.api.answered(now, call, reply);
                State::Serving(parts)
            }
            (state, Input::Request(request)) => {
                refused.push(not_yet(&request));
                state
            }
            // Everything else out of its order says nothing that could be acted on.
            (
                state,
                Input::Configure(_)
                | Input::Restore(_)
                | Input::Start { .. }
                | Input::Closed(_)
                | Input::Answered { .. }
                | Input::Health(_)
                | Input::Measured(_),
            ) => state,
        };
    }
}

impl Parts {
    fn new(config: Config) -> Self {
        let settings = Settings {
            seed: config.seed,
            service_cidr: config.service_cidr.clone(),
            service_node_ports: config.service_node_ports,
            tokens: config.tokens.clone(),
            service_account_key: config.service_account_key.clone(),
            service_account_issuer: format!("https://kubernetes.default.svc.{}", config.cluster_domain),
            advertise_address: config.advertise_address.clone(),
            advertise_port: config.advertise_port,
            client_ca: config.root_ca.clone(),
            front_proxy_ca: config.front_proxy_ca.clone(),
            history_limit: config.history_limit,
            audit_policy: config.audit_policy.clone(),
            max_requests_inflight: config.max_requests_inflight,
            max_mutating_requests_inflight: config.max_mutating_requests_inflight,
            runtime_config: apiserver::RuntimeConfig::parse(&config.runtime_config).unwrap_or_default(),
            pod_security: crate::wire::pod_security(&config.pod_security).unwrap_or_default().into(),
            features: apiserver::Features::parse(&config.feature_gates).unwrap_or_default(),
            request_timeout_seconds: config.request_timeout_seconds,
            min_request_timeout_seconds: config.min_request_timeout_seconds,
        };
        let mut scheduler = scheduler::Settings { seed: config.seed, ..scheduler::Settings::default() };
        if let Ok(profiles) = scheduler_profiles(&config.scheduler_config) {
            scheduler.profiles = profiles;
        }
        let controllers = controllers::Settings {
            root_ca: config.root_ca.clone(),
            cluster_cidr: config.cluster_cidr.clone(),
            allocate_node_cidrs: config.allocate_node_cidrs,
            signing_key: config.signing_key.clone(),
            volume_dir: config.volume_dir.clone(),
            load_balancer_ranges: config.load_balancer_ip_range.clone(),
            controllers: config.controllers.clone(),
        };
        Parts {
            api: ApiServer::new(settings),
            controllers: Manager::new(controllers),
            scheduler: config.scheduler.then(|| Scheduler::new(scheduler)),
            nodes: SimulatedNodes::new(&config),
            default_storage_class: config.default_storage_class,
            candidates: config.leader_elect.then(|| {
                let controllers = Leader::new("kube-controller-manager", "kube-controller-manager");
                (controllers, Leader::new("kube-scheduler", "default-scheduler"))
            }),
        }
    }

    /// Gives a new cluster what its users expect to find, and may throw away.
    fn furnish(&mut self, now: Time, revision: u64) {
        if revision > 0 || !self.default_storage_class {
            return;
        }
        let class = object::json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": controllers::PROVISIONER,
            "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true,
        });
        let admin = UserInfo::new("kubernetes-admin", &["system:masters"]);
        // Nothing can refuse it; a cluster without it still is one.
        let _ = self.api.client(now, &admin).create(&gvr("storage.k8s.io", "v1", "storageclasses"), "", class);
    }

    /// A slice of everything that works by itself.
    fn work(&mut self, now: Time) -> Progress {
        let before = self.api.store().revision();
        let mut progress = self.api.run(now);
        let controlled = !self.controllers.is_idle();
        let (controllers, schedules) = match &mut self.candidates {
            Some((controllers, scheduler)) => {
                let mut ask = |candidate: &mut Leader| {
                    let (leads, wake_at) = candidate.leads(&mut self.api, now);
                    progress = progress.and(Progress { more: false, wake_at: Some(wake_at) });
                    leads
                };
                // Who has nothing to do leaves the Lease to others.
                (controlled && ask(controllers), self.scheduler.is_some() && ask(scheduler))
            }
            None => (true, true),
        };
        if controllers {
            progress = progress.and(self.controllers.run(&mut self.api, now, CONTROLLERS_BUDGET));
        }
        if let Some(scheduler) = self.scheduler.as_mut().filter(|_| schedules) {
            progress = progress.and(scheduler.run(&mut self.api, now, SCHEDULER_BUDGET));
        }
        self.api.followed();
        progress = progress.and(self.nodes.run(&mut self.api, now, NODES_BUDGET));
        // Events come last: nothing depends on them. But they are never held back for long.
        let budget = if progress.more || self.api.store().revision() != before { EVENTS_BUDGET_BUSY } else { EVENTS_BUDGET };
        if let Some(scheduler) = &mut self.scheduler {
            progress = progress.and(scheduler.speak(&mut self.api, now, budget));
        }
        progress = progress.and(self.nodes.speak(&mut self.api, now, budget));
        // What one part wrote, another that ran before it has not seen yet.
        progress.more |= self.api.store().revision() != before;
        progress
    }
}

/// The profiles of a `KubeSchedulerConfiguration` in JSON; an error says what is wrong with it.
pub fn scheduler_profiles(config: &str) -> Result<Vec<scheduler::Profile>, String> {
    if config.is_empty() {
        return Ok(vec![scheduler::Profile::default()]);
    }
    let config: object::Value = serde_json::from_str(config).map_err(|error| error.to_string())?;
    scheduler::Profile::read(&config)
}

/// The answer to a request that came before the control plane could serve.
fn not_yet(request: &Request) -> Output {
    let status = object::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 503,
        "reason": "ServiceUnavailable", "message": "the control plane is starting", "details": {"retryAfterSeconds": 1},
    });
    Output::Respond {
        stream: request.stream,
        status: 503,
        headers: vec![("content-type".to_owned(), "application/json".to_owned()), ("retry-after".to_owned(), "1".to_owned())],
        body: status.to_string().into(),
    }
}
