//! API priority and fairness: which flow a request belongs to, and when it is its turn.
//!
//! Requests are served one after the other, in the order in which they arrive, as long as a step has time for them. When it
//! has no more, or all seats of a level are taken by requests that wait for webhooks, they wait in the fair queues of
//! [`queues`], and each step takes as many as it has time for. The parts of the control plane do not pass here: their work has
//! budgets of its own.
//!
//! A request's cost is counted, not timed, so that equal inputs give equal outputs: one for the request, and one more for
//! every [`COST_BYTES`] that it sends or stores, and for every [`COST_OBJECTS`] that it looks at.
//!
//! <https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>

mod bootstrap;
pub mod config;
pub mod dump;
pub mod queues;

use std::collections::BTreeMap;
use std::sync::Arc;

use object::meta::ObjectMeta;
use object::{GroupResource, Time};
use store::{Key, Progress};

use crate::auth::Attributes;
use crate::edge::{Asked, Incoming};
use crate::identity::UserInfo;
use crate::message::StreamId;
use crate::server::ApiServer;
use config::{LevelSpec, Schema};
use queues::{Levels, Refusal, Waiting, flow_hash};

pub(crate) const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const LEVELS: &str = "prioritylevelconfigurations";
const SCHEMAS: &str = "flowschemas";

/// What one step does before the rest has to wait. It is what a few milliseconds are enough for.
const STEP_BUDGET: u64 = 128;

/// Bytes that cost as much as a request does at least.
const COST_BYTES: u64 = 16 << 10;

/// Objects, looked at and not taken, that cost as much.
const COST_OBJECTS: u64 = 256;

/// How long a request waits for its turn at most: a quarter of a request's time, as in kube-apiserver.
const WAIT_SECONDS: u64 = 15;

/// How long what was changed of Kubernetes' own configuration stays so.
const ENSURE_SECONDS: u64 = 60;

/// Where a request was placed.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) schema: Arc<Schema>,
    pub(crate) level: Arc<str>,
    level_uid: Arc<str>,
    hash: u64,
}

/// The seat of a request.
struct Seat {
    level: Arc<str>,
    schema: Arc<str>,
    changes: bool,
}

impl Seat {
    fn of(incoming: &Incoming, place: &Place) -> Self {
        Seat { level: place.level.clone(), schema: place.schema.name.clone(), changes: incoming.asked.changes() }
    }
}

/// Turns of requests.
pub(crate) struct FlowControl {
    /// In the order in which they are asked.
    schemas: Vec<Arc<Schema>>,
    levels: Levels<Box<Incoming>>,
    /// Who is being served and has not been answered.
    seated: BTreeMap<StreamId, Seat>,
    /// What this step has done.
    spent: u64,
    /// Objects that the request that is being run has looked at.
    pub(crate) looked_at: u64,
    /// Whether the configuration has changed since it was read.
    changed: bool,
    ensure_at: Option<Time>,
    /// Where the request that is being run was placed.
    pub(crate) place: Option<Arc<Place>>,
}

impl FlowControl {
    /// With this many seats in all.
    pub(crate) fn new(seats: u32) -> Self {
        FlowControl {
            schemas: Vec::new(),
            levels: Levels::new(u64::from(seats)),
            seated: BTreeMap::new(),
            spent: 0,
            looked_at: 0,
            changed: true,
            ensure_at: None,
            place: None,
        }
    }

    /// An object changed.
    pub(crate) fn changed(&mut self, key: &Key) {
        self.changed |= &*key.resource.group == GROUP;
    }

    /// Where a request belongs.
    fn place(&self, user: &UserInfo, asked: &Attributes<'_>) -> Option<Place> {
        // The last one takes everybody who is anybody; others are treated as it treats them.
        let schema = self.schemas.iter().find(|schema| schema.matches(user, asked)).or(self.schemas.last())?;
        let hash = flow_hash(&schema.name, schema.distinguish(user, asked));
        let level = self.levels.get(&schema.level)?;
        Some(Place { schema: schema.clone(), level: schema.level.clone(), level_uid: level.spec.uid.clone(), hash })
    }

    /// What an answer says of its request's place. Not by name: these are the administrator's.
    pub(crate) fn headers(&self, headers: &mut Vec<(String, String)>) {
        if let Some(place) = &self.place {
            headers.push(("x-kubernetes-pf-flowschema-uid".to_owned(), place.schema.uid.to_string()));
            headers.push(("x-kubernetes-pf-prioritylevel-uid".to_owned(), place.level_uid.to_string()));
        }
    }

    /// The client of this stream went away.
    pub(crate) fn closed(&mut self, stream: StreamId) {
        drop(self.levels.forget(stream));
        self.answered(stream);
    }

    /// This stream's request is done with.
    pub(crate) fn answered(&mut self, stream: StreamId) {
        if let Some(seat) = self.seated.remove(&stream) {
            self.levels.release(&seat.level);
        }
    }

    /// Whether the configuration is what is stored.
    pub(crate) fn is_current(&self) -> bool {
        !self.changed
    }

    /// Whether there is a place for every request.
    pub(crate) fn takes_everybody(&self) -> bool {
        self.schemas.last().is_some_and(|last| self.levels.get(&last.level).is_some())
    }

    /// Requests that are being served: those that read and those that change something.
    pub(crate) fn executing(&self) -> (usize, usize) {
        let changing = self.seated.values().filter(|seat| seat.changes).count();
        (self.seated.len() - changing, changing)
    }

    /// Requests that wait and that are being served, by schema.
    pub(crate) fn by_schema(&self) -> (BTreeMap<Arc<str>, u64>, BTreeMap<Arc<str>, u64>) {
        let (mut waiting, mut executing) = (BTreeMap::<Arc<str>, u64>::new(), BTreeMap::<Arc<str>, u64>::new());
        let queued = self.levels.all().flat_map(|level| level.queues()).flat_map(|(_, _, queue)| queue);
        for place in queued.filter_map(|waiting| waiting.item.place.as_ref()) {
            *waiting.entry(place.schema.name.clone()).or_default() += 1;
        }
        for seat in self.seated.values() {
            *executing.entry(seat.schema.clone()).or_default() += 1;
        }
        (waiting, executing)
    }

    /// The levels at work.
    pub(crate) fn levels(&self) -> impl Iterator<Item = &queues::Level<Box<Incoming>>> {
        self.levels.all()
    }

    /// A step has ended.
    pub(crate) fn step_ended(&mut self) {
        self.spent = 0;
    }
}

/// The flow schemas and levels that there are; the mandatory ones are there even if nobody has stored them.
fn read(api: &ApiServer) -> (Vec<Arc<Schema>>, Vec<LevelSpec>) {
    let stored = |resource: &str| -> Vec<_> {
        let resource = GroupResource::new(GROUP, resource);
        let all = api.store.list(&resource, None);
        all.map(|object| (object.key.name.to_string(), object.value())).collect()
    };
    let (levels, schemas) = (stored(LEVELS), stored(SCHEMAS));
    let (wanted_levels, wanted_schemas) = bootstrap::defaults();
    let missing = |wanted: Vec<bootstrap::Wanted>, there: &[(String, object::Value)]| -> Vec<bootstrap::Wanted> {
        wanted.into_iter().filter(|w| w.mandatory && !there.iter().any(|(name, _)| *name == w.name)).collect()
    };
    let imagined_levels = missing(wanted_levels, &levels);
    let imagined_schemas = missing(wanted_schemas, &schemas);
    let levels = levels.iter().map(|(name, value)| LevelSpec::of(name, &ObjectMeta::of(value).uid, &value["spec"]));
    let levels: Vec<LevelSpec> = levels.chain(imagined_levels.iter().map(|w| LevelSpec::of(&w.name, "", &w.spec))).collect();
    let schemas = schemas.iter().map(|(name, value)| Schema::of(name, &ObjectMeta::of(value).uid, &value["spec"]));
    let schemas = schemas.chain(imagined_schemas.iter().map(|w| Schema::of(&w.name, "", &w.spec)));
    // Those whose level is missing are as if they were not there.
    let mut schemas: Vec<_> =
        schemas.filter(|schema| levels.iter().any(|level| level.name == schema.level)).map(Arc::new).collect();
    schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
    (schemas, levels)
}

/// Makes what every cluster has, and reads the configuration.
pub(crate) fn start(api: &mut ApiServer, now: Time) {
    bootstrap::ensure(api, now);
    settle(api, now);
    api.flow.ensure_at = None;
}

/// Reads the configuration if it has changed.
pub(crate) fn settle(api: &mut ApiServer, now: Time) {
    if !api.flow.changed {
        return;
    }
    bootstrap::mark(api, now);
    let (schemas, levels) = read(api);
    let flow = &mut api.flow;
    flow.changed = false;
    flow.schemas = schemas;
    flow.levels.configure(levels);
    flow.ensure_at.get_or_insert(now.plus_secs(ENSURE_SECONDS));
}

impl ApiServer {
    /// Serves a request if it is its turn, or lets it wait.
    pub(crate) fn take_turn(&mut self, now: Time, mut incoming: Box<Incoming>) {
        settle(self, now);
        if incoming.asked.is_tracked() {
            incoming.place = self.flow.place(&incoming.asked.user, &incoming.asked.attributes()).map(Arc::new);
        }
        let Some(place) = incoming.place.clone() else { return self.serve(now, incoming) };
        let flow = &mut self.flow;
        if flow.spent < STEP_BUDGET && flow.levels.is_free(&place.level) {
            flow.levels.seat(&place.level);
            flow.seated.insert(incoming.request.stream, Seat::of(&incoming, &place));
            self.metrics.dispatched(&place.schema.name, &place.level, 0);
            return self.serve_counted(now, incoming, None);
        }
        let waiting = Waiting { id: incoming.request.stream, since: now, item: incoming };
        if let Err((refusal, incoming)) = flow.levels.enqueue(&place.level, place.hash, waiting) {
            self.refuse_turn(&incoming, refusal);
        }
    }

    /// Serves those whose turn it is, as long as the step has time.
    pub(crate) fn take_turns(&mut self, now: Time) -> Progress {
        settle(self, now);
        if self.flow.ensure_at.is_some_and(|at| at <= now) {
            bootstrap::ensure(self, now);
            settle(self, now);
            self.flow.ensure_at = None;
        }
        let limit = Time(now.0.saturating_sub(WAIT_SECONDS * 1_000_000));
        let (expired, oldest) = self.flow.levels.expire(limit);
        for waiting in expired {
            self.refuse_turn(&waiting.item, Refusal::TimeOut);
        }
        let mut more = false;
        loop {
            let spent = self.flow.spent;
            if spent >= STEP_BUDGET {
                more = self.flow.levels.waiting() > 0;
                break;
            }
            // Those who wait for nobody do not leave nothing to the others.
            let Some(next) = self.flow.levels.next(spent < STEP_BUDGET / 4 * 3) else { break };
            let account = next.account();
            let queues::Waiting { since, item: incoming, .. } = next.waiting;
            if let Some(place) = &incoming.place {
                self.flow.seated.insert(incoming.request.stream, Seat::of(&incoming, place));
                let waited = now.0.saturating_sub(since.0);
                self.metrics.dispatched(&place.schema.name, &place.level, waited);
            }
            self.serve_counted(now, incoming, Some(&account));
        }
        let wake_at = [self.flow.ensure_at, oldest.map(|at| at.plus_secs(WAIT_SECONDS))].into_iter().flatten().min();
        Progress { more, wake_at }
    }

    fn serve_counted(&mut self, now: Time, incoming: Box<Incoming>, account: Option<&(Arc<str>, u32)>) {
        let before = self.outputs.len();
        self.flow.looked_at = 0;
        self.serve(now, incoming);
        let sent: u64 = self.outputs.iter().skip(before).map(|output| output.size()).sum();
        let cost = 1 + sent / COST_BYTES + self.flow.looked_at / COST_OBJECTS;
        self.flow.spent += cost;
        if let Some(account) = account {
            self.flow.levels.charge(account, cost);
        }
    }
}

impl Asked {
    /// Whether this request waits its turn: what goes on for long does not, except for the beginning of a watch.
    fn is_tracked(&self) -> bool {
        self.verb == "watch" || !self.is_long_running()
    }
}
