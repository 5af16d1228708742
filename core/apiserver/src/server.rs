//! The API server's state, and its doors: [`ApiServer::handle`] for requests from outside, [`ApiServer::client`] for the
//! parts of the control plane.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use object::{ApiError, GroupResource, GroupVersionKind, GroupVersionResource, ObjectMeta, Result, Rng, Time, Value};
use schema::runtime_config::RuntimeConfig;
use schema::{Registry, Resource};
use store::{Key, Object, Progress, Store, registry_key};

use crate::admission::PodSecurityConfiguration;
use crate::admission::quota::Accounts;
use crate::admission::reinvocation::Reinvocation;
use crate::admission::webhook;
use crate::aggregation::{self, Aggregation};
use crate::audit::Audit;
use crate::auth::rbac::Bindings;
use crate::auth::token::Signer;
use crate::calls::Calls;
use crate::causes::Causes;
use crate::client::Client;
use crate::convert::Converted;
use crate::edge::openapi::Documents;
use crate::features::Features;
use crate::flow::{self, FlowControl};
use crate::health::{self, Health};
use crate::identity::UserInfo;
use crate::message::{Output, Record, StaticToken, StreamId};
use crate::metrics::Metrics;
use crate::strategy::allocation::{self, NodePorts};
use crate::strategy::crd::{self, Definitions};
use crate::watch::Watches;

/// What an API server must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seed of uids and generated names.
    pub seed: u64,
    /// Addresses of Services.
    pub service_cidr: String,
    /// First and last of the ports that Services get on every node.
    pub service_node_ports: (u16, u16),
    /// Bearer tokens.
    pub tokens: Vec<StaticToken>,
    /// The key that signs tokens of service accounts, as PKCS#8; without one it follows from the seed.
    pub service_account_key: Vec<u8>,
    /// Who gives out these tokens, and whom they are for where nothing else is asked.
    pub service_account_issuer: String,
    /// Where clients reach this server.
    pub advertise_address: String,
    /// Its port.
    pub advertise_port: u16,
    /// PEM of the authority whose certificates identify clients.
    pub client_ca: String,
    /// PEM of the authority of proxies that pass clients on to servers beside this one.
    pub front_proxy_ca: String,
    /// How many events of history are kept.
    pub history_limit: u32,
    /// An `audit.k8s.io/v1` Policy, or nothing.
    pub audit_policy: String,
    /// How many requests that only read may be served at once; with those that write, the seats that flow control shares out.
    pub max_requests_inflight: u32,
    /// How many that write.
    pub max_mutating_requests_inflight: u32,
    /// Which versions and resources are served beside those that are stable, or not.
    pub runtime_config: RuntimeConfig,
    /// What is tried out.
    pub features: Features,
    /// What holds for pods where namespaces say nothing, and for whom it does not.
    pub pod_security: Arc<PodSecurityConfiguration>,
    /// How long a request may take that does not go on by itself.
    pub request_timeout_seconds: u32,
    /// How long a watch goes on at least that does not say how long; twice that at most.
    pub min_request_timeout_seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            seed: 0,
            service_cidr: "10.96.0.0/16".to_owned(),
            service_node_ports: (30000, 32767),
            tokens: Vec::new(),
            service_account_key: Vec::new(),
            service_account_issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            advertise_address: "127.0.0.1".to_owned(),
            advertise_port: 6443,
            client_ca: String::new(),
            front_proxy_ca: String::new(),
            history_limit: 10_000,
            audit_policy: String::new(),
            max_requests_inflight: 400,
            max_mutating_requests_inflight: 200,
            runtime_config: RuntimeConfig::default(),
            features: Features::default(),
            pod_security: Arc::default(),
            request_timeout_seconds: 60,
            min_request_timeout_seconds: 1800,
        }
    }
}

/// The Kubernetes API over a store.
pub struct ApiServer {
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    pub(crate) store: Store,
    pub(crate) rng: Rng,
    pub(crate) outputs: Vec<Output>,
    /// What admission has to say to the client of the request that is being answered.
    pub(crate) warnings: Vec<String>,
    /// What the audit log is told of the request at hand besides what it sees itself.
    pub(crate) annotations: BTreeMap<String, String>,
    /// What other servers serve.
    pub(crate) aggregation: Aggregation,
    /// How it is.
    pub(crate) health: Health,
    /// Whose turn it is.
    pub(crate) flow: FlowControl,
    /// Questions to servers outside.
    pub(crate) calls: Calls,
    /// What conversion webhooks answered.
    pub(crate) converted: Converted,
    /// Which webhooks have seen the object of the request that is being run.
    pub(crate) reinvocation: Reinvocation,
    /// What namespaces with quotas use.
    pub(crate) quotas: Accounts,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Why there is each revision.
    pub(crate) causes: Causes,
    /// What is recorded of requests, if there is a policy.
    pub(crate) audit: Option<Box<Audit>>,
    pub(crate) watches: Watches,
    /// Who was given which role.
    pub(crate) bindings: Bindings,
    /// Which ports Services have on every node.
    pub(crate) node_ports: NodePorts,
    /// OpenAPI documents of what is served.
    pub(crate) documents: Documents,
    /// Definitions of custom resources that changed.
    pub(crate) definitions: Definitions,
    /// Journal records of kinds that are not served yet.
    unclaimed: Vec<Record>,
    /// Signs tokens of service accounts.
    pub(crate) signer: Signer,
    /// The time of the last call from outside.
    pub(crate) now: Time,
    /// What the revision was, and when, once a minute: behind the oldest of them the past is cut off.
    marks: VecDeque<(Time, u64)>,
}

/// For so long what was can still be read (kube-apiserver's `--etcd-compaction-interval`).
const PAST_SECONDS: u64 = 300;
const MARK_SECONDS: u64 = 60;

impl ApiServer {
    /// A server with an empty store. [`ApiServer::start`] fills in what every cluster has.
    pub fn new(settings: Settings) -> Self {
        let store = Store::new(settings.history_limit);
        let mut rng = Rng::new(settings.seed);
        let signer = Signer::new(&settings.service_account_key, &mut rng);
        ApiServer {
            registry: Registry::configured(&settings.runtime_config),
            store,
            rng,
            outputs: Vec::new(),
            warnings: Vec::new(),
            annotations: BTreeMap::new(),
            aggregation: Aggregation::default(),
            health: Health::default(),
            flow: FlowControl::new(settings.max_requests_inflight.saturating_add(settings.max_mutating_requests_inflight)),
            calls: Calls::default(),
            converted: Converted::default(),
            reinvocation: Reinvocation::default(),
            quotas: Accounts::default(),
            metrics: Metrics::default(),
            causes: Causes::new(settings.history_limit),
            audit: Audit::new(&settings.audit_policy, settings.seed),
            watches: Watches::new(settings.seed),
            bindings: Bindings::default(),
            definitions: Definitions::default(),
            node_ports: NodePorts::default(),
            documents: Documents::default(),
            unclaimed: Vec::new(),
            signer,
            now: Time::default(),
            marks: VecDeque::new(),
            settings,
        }
    }

    /// Takes back objects from the journal. Records that cannot be read are left out and named in the result.
    pub fn restore(&mut self, records: Vec<Record>) -> Vec<String> {
        let mut unread = Vec::new();
        for record in records {
            let Record::Put { revision, key, value: bytes } = &record else { continue };
            let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
                unread.push(key.clone());
                continue;
            };
            match kind_of(&value).and_then(|kind| self.stored_as(&kind)) {
                Some(resource) => {
                    let meta = ObjectMeta::of(&value);
                    let key = Key::new(&resource, &meta.namespace, &meta.name);
                    self.bindings.changed(&key);
                    self.store.restore(Object::new(key, *revision, &value));
                }
                // Its definition may still come.
                None => self.unclaimed.push(record),
            }
        }
        unread
    }

    /// Where objects of a kind are kept, also in a version that is not served.
    fn stored_as(&self, kind: &GroupVersionKind) -> Option<GroupResource> {
        let custom = |r: &&Arc<Resource>| r.custom.is_some() && r.kind.group == kind.group && r.kind.kind == kind.kind;
        let found = self.registry.kind(kind).or_else(|| self.registry.resources().find(custom));
        found.map(|resource| resource.storage.resource.clone())
    }

    /// Begins to serve at `revision`, after everything is restored, and makes what every cluster has.
    pub fn start(&mut self, now: Time, revision: u64) {
        self.now = now;
        if revision > 0 {
            // Another life of the same cluster may have the same seed; it must not give out the same uids again.
            self.rng = Rng::new(self.settings.seed ^ Rng::new(revision).next_u64());
        }
        crd::restored(self);
        let unclaimed = std::mem::take(&mut self.unclaimed);
        self.restore(unclaimed);
        // What nothing serves any more stays in the journal, out of sight.
        self.unclaimed.clear();
        self.store.restored(revision);
        self.watches.start(self.store.revision());
        allocation::restored(self);
        crate::strategy::bootstrap::run(self, now);
        crate::auth::bootstrap::run(self, now);
        flow::start(self, now);
        crd::settle(self, now);
        self.aggregation.registry_changed();
        aggregation::settle(self, now);
        self.health.started = true;
        health::remember(self);
    }

    /// The objects, to read.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is served.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The versions of a group that other servers serve.
    pub fn versions_elsewhere(&self, group: &str) -> Vec<String> {
        let groups = self.aggregation.groups();
        groups.get(group).into_iter().flatten().map(|version| (*version).to_owned()).collect()
    }

    /// What this server was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The API as seen by `user`, inside the control plane.
    pub fn client<'a>(&'a mut self, now: Time, user: &'a UserInfo) -> Client<'a> {
        self.now = now;
        Client::new(self, now, user)
    }

    /// The client of this stream went away.
    pub fn closed(&mut self, stream: StreamId) {
        self.audit_closed(stream);
        self.flow.closed(stream);
        self.watches.close(stream);
        self.calls.closed(stream);
    }

    /// Does what is due by now: requests whose turn it is, bookmarks and ends of watches.
    pub fn run(&mut self, now: Time) -> Progress {
        self.now = now;
        self.compact();
        let turns = self.take_turns(now);
        let deadlines = self.calls_exceeded(now);
        if self.watches.is_due(now) {
            // A bookmark must not overtake what this step has committed already.
            self.deliver_events(now);
        }
        let revision = self.store.revision();
        let mut outputs = std::mem::take(&mut self.outputs);
        let progress = self.watches.run(now, revision, &mut outputs);
        self.outputs = outputs;
        aggregation::settle(self, now);
        progress.and(turns).and(deadlines).and(aggregation::run(self, now))
    }

    /// Lists go on where they began for five to six minutes; etcd's compaction allows ten, and clients wait no longer for it to
    /// come. Watches may begin as far back as history reaches.
    fn compact(&mut self) {
        if self.marks.back().is_none_or(|(then, _)| self.now >= then.plus_secs(MARK_SECONDS)) {
            self.marks.push_back((self.now, self.store.revision()));
        }
        while let Some((_, revision)) = self.marks.pop_front_if(|(then, _)| self.now >= then.plus_secs(PAST_SECONDS)) {
            self.store.forget(revision);
        }
    }

    /// What is to happen outside, in order: journal records stand before the answers and events that depend on them.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        crd::settle(self, self.now);
        aggregation::settle(self, self.now);
        flow::settle(self, self.now);
        self.flow.step_ended();
        self.deliver_events(self.now);
        let mut outputs = std::mem::take(&mut self.outputs);
        self.audit_outputs(&mut outputs);
        outputs
    }

    /// Whether any request may need an answer from outside.
    pub(crate) fn may_ask(&self) -> bool {
        webhook::are_configured(self) || self.definitions.have_webhooks
    }

    /// Finds the resource served at this path.
    pub(crate) fn resource(&self, gvr: &GroupVersionResource) -> Result<Arc<Resource>> {
        self.registry.resource(gvr).cloned().ok_or_else(ApiError::no_such_path)
    }

    /// Makes `value` the object at `key`: in the store, and soon in the journal.
    pub(crate) fn commit(&mut self, key: Key, value: Value) -> Arc<Object> {
        self.bindings.changed(&key);
        self.definitions.changed(&key);
        self.aggregation.changed(&key);
        self.flow.changed(&key);
        let old = allocation::is_service(&key).then(|| self.store.get(&key).map(|old| old.shared()));
        let before = if self.causes.wants_object() { self.store.get(&key).map_or(0, |old| old.revision) } else { 0 };
        let object = self.store.put(key, value);
        self.causes.record(self.now, object.revision, before);
        let record = Record::Put { revision: object.revision, key: registry_key(&object.key), value: object.bytes.clone() };
        self.outputs.push(Output::Journal(record));
        if let Some(old) = old {
            allocation::changed(self, old.as_deref(), Some(&object.shared()));
        }
        object
    }

    /// Takes away the object at `key`.
    pub(crate) fn commit_removal(&mut self, key: &Key) {
        if let Some(old) = self.store.remove(key) {
            self.causes.record(self.now, self.store.revision(), old.revision);
            self.bindings.changed(key);
            self.definitions.changed(key);
            self.aggregation.changed(key);
            self.flow.changed(key);
            self.outputs.push(Output::Journal(Record::Delete { revision: self.store.revision(), key: registry_key(key) }));
            if allocation::is_service(key) {
                allocation::changed(self, Some(&old.shared()), None);
            }
        }
    }
}

/// Kind and version of an object, if it says both.
pub(crate) fn kind_of(value: &Value) -> Option<GroupVersionKind> {
    let version = object::GroupVersion::parse(value.get("apiVersion")?.as_str()?)?;
    Some(version.kind(value.get("kind")?.as_str()?))
}
