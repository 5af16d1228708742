//! The scheduling cycle: take a pod, find it a node, bind it; or say why not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use apiserver::{ApiServer, UserInfo, gvr};
use object::events::{EventType, Recorder};
use object::{GroupResource, GroupVersionResource, Time};
use store::{Key, Progress};

use crate::cache::Cache;
use crate::claims::Pending;
use crate::config::Profile;
use crate::explanation::Attempts;
use crate::plugins::{Plugin, Verdict};
use crate::pod_info::PodInfo;
use crate::preemption::Preemption;
use crate::queue::{Queue, Waiting};
use crate::search::{self, Attempt, Ground, Search};
use crate::words;

/// What the scheduler must be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Pods that name one of these schedulers are its own.
    pub profiles: Vec<Profile>,
    /// Seed of the choice between equal nodes.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { profiles: vec![Profile::default()], seed: 0 }
    }
}

/// The scheduler.
pub struct Scheduler {
    /// By the name of the scheduler, each with who speaks for it.
    pub(crate) profiles: BTreeMap<String, (Arc<Profile>, Recorder)>,
    pub(crate) user: UserInfo,
    pub(crate) cache: Cache,
    pub(crate) queue: Queue,
    pub(crate) search: Search,
    /// Pods whose node is chosen and whose volumes are not there yet.
    pub(crate) pending: BTreeMap<Key, Pending>,
    /// Events up to this revision were taken in; `None` before the first run.
    pub(crate) followed: Option<u64>,
    /// What came of the last attempts.
    pub(crate) attempts: Attempts,
    /// Events that are still to be written.
    pub(crate) unsaid: VecDeque<Said>,
    pub(crate) names: Names,
}

/// An event about a pod.
pub(crate) struct Said {
    pub at: Time,
    pub pod: Arc<PodInfo>,
    pub kind: EventType,
    pub reason: &'static str,
    pub message: String,
}

pub(crate) struct Names {
    pub pods: GroupResource,
    pub nodes: GroupResource,
    pub namespaces: GroupResource,
    pub pods_v1: GroupVersionResource,
    pub events_v1: GroupVersionResource,
}

/// What a failed attempt changes about the node that the pod waits for.
pub(crate) enum Nomination {
    /// Nothing.
    Keep,
    /// It waits for none.
    Clear,
    /// For this one.
    Node(Arc<str>),
}

impl Scheduler {
    /// A scheduler that knows of nothing yet.
    pub fn new(settings: Settings) -> Self {
        Scheduler {
            user: UserInfo::new("system:kube-scheduler", &[]),
            cache: Cache::default(),
            queue: Queue::default(),
            search: Search::new(settings.seed),
            pending: BTreeMap::new(),
            followed: None,
            attempts: Attempts::default(),
            unsaid: VecDeque::new(),
            names: Names {
                pods: GroupResource::literal("", "pods"),
                nodes: GroupResource::literal("", "nodes"),
                namespaces: GroupResource::literal("", "namespaces"),
                pods_v1: gvr("", "v1", "pods"),
                events_v1: gvr("", "v1", "events"),
            },
            profiles: settings
                .profiles
                .into_iter()
                .map(|profile| (profile.name.clone(), (Arc::new(profile.clone()), Recorder::new(&profile.name, ""))))
                .collect(),
        }
    }

    /// Places at most `budget` pods.
    pub fn run(&mut self, api: &mut ApiServer, now: Time, budget: u32) -> Progress {
        self.follow(api.store(), now);
        for _ in 0..budget {
            let Some((key, waiting)) = self.queue.pop(now) else { break };
            let revision = api.store().get(&key).map_or(0, |pod| pod.revision);
            api.reacting_to(revision);
            self.schedule_one(api, now, &key, &waiting);
            self.follow(api.store(), now);
        }
        if !self.pending.is_empty() {
            self.settle_claims(api, now);
        }
        let timeout = self.pending.values().map(|pending| pending.until).min();
        let wake_at = [self.queue.next_at(), timeout].into_iter().flatten().min();
        Progress { more: self.queue.has_active(), wake_at }
    }

    /// The profile that a pod goes by.
    pub(crate) fn profile(&self, pod: &PodInfo) -> Arc<Profile> {
        self.profiles.get(&pod.scheduler_name).map(|(profile, _)| profile.clone()).unwrap_or_default()
    }

    fn schedule_one(&mut self, api: &mut ApiServer, now: Time, key: &Key, waiting: &Waiting) {
        let pod = &waiting.pod;
        let profile = self.profile(pod);
        match self.search.prepare(pod, &mut self.cache, api.store(), &profile) {
            Ok(ground) => {
                match self.search.find(pod, &ground, &mut self.cache, api.store()) {
                    Attempt::Node(slot) => self.place(api, now, (key, pod), slot, &ground),
                    Attempt::Nowhere(verdict) => self.refuse(api, now, (key, pod), &verdict, Some(&ground)),
                }
                self.search.keep(pod, ground.prepared, &self.cache);
            }
            Err(refused) if refused.silent => {
                self.attempts.note(key, now, waiting.attempts, Err(refused.why.as_str().into()));
                self.queue.failed(key, BTreeSet::from([refused.plugin]), now);
            }
            Err(refused) => {
                let verdict = search::nowhere(&mut self.cache, &refused);
                self.refuse(api, now, (key, pod), &verdict, None);
            }
        }
    }

    /// Gives a pod its node.
    fn place(&mut self, api: &mut ApiServer, now: Time, (key, pod): (&Key, &Arc<PodInfo>), slot: u32, ground: &Ground) {
        let Some(node) = self.cache.at(slot) else { return self.queue.retry(key, now) };
        let (grants, decision) = (ground.attached.grants(node), ground.attached.decision(node));
        let node = node.name.clone();
        let waits = !decision.is_empty();
        self.attempts.note(key, now, self.queue.attempts(key), Ok(node.clone()));
        let granted = self.grant(api, now, pod, &grants);
        let result = granted.and_then(|()| match waits {
            true => self.begin(api, now, (key, pod), &node, &decision),
            false => self.bind(api, now, pod, &node),
        });
        match result {
            Ok(()) if waits => {}
            Ok(()) => {
                api.scheduled(&pod.scheduler_name, "scheduled");
                let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
                self.event(now, pod, EventType::Normal, "Scheduled", message);
                self.assume(key, pod, node, now);
            }
            Err(error) if error.is_not_found() => drop(self.queue.remove(key)),
            Err(error) if error.is_pending() => self.queue.retry(key, now),
            Err(error) => {
                api.scheduled(&pod.scheduler_name, "error");
                self.queue.retry(key, now);
                let message = error.to_string();
                self.write_condition(api, now, key, pod, ("SchedulerError", &message, &Nomination::Keep));
                self.event(now, pod, EventType::Warning, "FailedScheduling", message);
            }
        }
    }

    /// No node fits: makes room if that is possible, and says what is wrong.
    fn refuse(
        &mut self,
        api: &mut ApiServer,
        now: Time,
        (key, pod): (&Key, &Arc<PodInfo>),
        verdict: &Verdict,
        ground: Option<&Ground>,
    ) {
        api.scheduled(&pod.scheduler_name, "unschedulable");
        let (nomination, said) = self.preempt(api, now, pod, verdict, ground);
        let message = words::unschedulable(verdict, &self.cache.resources, said.as_deref());
        let mut by: BTreeSet<_> = object::order::set(verdict.rejections.iter().map(|(_, r)| r.plugin));
        if by.is_empty() {
            // With no node at all, only a node can help.
            by.insert(Plugin::NodeName);
        }
        self.attempts.note(key, now, self.queue.attempts(key), Err(message.as_str().into()));
        self.queue.failed(key, by, now);
        self.write_condition(api, now, key, pod, ("Unschedulable", &message, &nomination));
        self.event(now, pod, EventType::Warning, "FailedScheduling", message);
    }

    /// Makes room on some node, if that is possible; what comes of it, and what is to be said if nothing does.
    fn preempt(
        &mut self,
        api: &mut ApiServer,
        now: Time,
        pod: &Arc<PodInfo>,
        verdict: &Verdict,
        ground: Option<&Ground>,
    ) -> (Nomination, Option<String>) {
        let profile = self.profile(pod);
        if verdict.rejections.is_empty() || !profile.preempts() {
            return (Nomination::Keep, None);
        }
        let Scheduler { cache, search, .. } = self;
        let mut preemption = Preemption { pod, cache, ground, store: api.store(), enough: profile.candidates };
        if let Err(why) = preemption.eligible(verdict) {
            return (Nomination::Keep, Some(why));
        }
        match preemption.find(verdict, &mut search.rng) {
            Ok(candidate) => {
                self.make_room(api, now, pod, &candidate);
                (Nomination::Node(candidate.node), None)
            }
            Err(why) => (Nomination::Clear, Some(why)),
        }
    }
}
