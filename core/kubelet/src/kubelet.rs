//! The node: routes facts to its pods, collects their wishes, keeps their timers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::Time;

use crate::admission;
use crate::io::{Config, ContainerId, FoundPod, Input, Output, PodRef};
use crate::node_state::{Context, NodeState};
use crate::pod::{Pod, PodUid};
use crate::resize;
use crate::worker::Worker;

/// The kubelet of one node. See [`crate::io`] for how it is driven.
#[derive(Debug)]
pub struct Kubelet {
    config: Config,
    node: NodeState,
    pods: BTreeMap<PodUid, Worker>,
    /// Found at the start and not yet claimed by a pod of the API.
    found: BTreeMap<PodUid, FoundPod>,
    /// Containers of pods that the API does not know, which are being ended.
    strays: BTreeMap<PodUid, BTreeSet<ContainerId>>,
    /// Pods that something happened to since the last poll.
    dirty: BTreeSet<PodUid>,
    timers: BTreeSet<(Time, PodUid)>,
    due: BTreeMap<PodUid, Time>,
    out: Vec<Output>,
}

impl Kubelet {
    /// A kubelet that knows of no pods and no images.
    pub fn new(config: Config) -> Self {
        let node = NodeState::with_labels(crate::node::labels(&config));
        Kubelet {
            config,
            node,
            pods: BTreeMap::new(),
            found: BTreeMap::new(),
            strays: BTreeMap::new(),
            dirty: BTreeSet::new(),
            timers: BTreeSet::new(),
            due: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    /// The node's facts.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The images on the node: `(reference, identity, bytes)`, for the Node's status.
    pub fn images(&self) -> impl Iterator<Item = (&Arc<str>, &crate::io::ImageInfo)> {
        self.node.images.iter()
    }

    /// The run of a container that logs are asked of: the current one, or the one before it.
    pub fn container(&self, namespace: &str, pod: &str, container: &str, previous: bool) -> Option<ContainerId> {
        let worker = self.pods.values().find(|w| w.pod.namespace == namespace && w.pod.name == pod)?;
        worker.run_of(container, previous)
    }

    /// Takes a fact. `now` must not go backwards.
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Pod(pod) => self.pod(now, pod),
            Input::PodGone(uid) => {
                if let Some(worker) = self.pods.get_mut(&uid) {
                    worker.orphaned = true;
                    self.dirty.insert(uid);
                }
            }
            Input::PodsListed => self.end_strays(),
            Input::Found(found) => self.found.extend(found.into_iter().map(|pod| (pod.uid.clone(), pod))),
            Input::Image(image, info) => {
                self.node.images.insert(image, info);
            }
            Input::ImageGone(image) => {
                self.node.images.remove(&image);
            }
            Input::NodeLabels(labels) => self.node.labels = labels,
            Input::Services(services) => self.node.services = services,
            Input::Pulled(image, result) => {
                self.node.pulling.remove(&image);
                if let Ok(pulled) = &result {
                    self.node.images.insert(image.clone(), pulled.info.clone());
                }
                let uids: Vec<PodUid> = self.pods.keys().cloned().collect();
                for uid in uids {
                    let mut cx = Context { now, config: &self.config, node: &mut self.node, out: &mut self.out };
                    // In a pod that is to end nothing begins any more.
                    let Some(worker) = self.pods.get_mut(&uid).filter(|worker| worker.is_active()) else { continue };
                    let (containers, around) = worker.containers();
                    for container in containers {
                        if container.is_pulling() {
                            container.pulled(&around, &mut cx, &image, &result);
                            self.dirty.insert(uid.clone());
                        }
                    }
                }
            }
            Input::Fetched(reference, data) => {
                for uid in self.node.fetched(&reference, data) {
                    if let Some(worker) = self.pods.get_mut(&uid) {
                        worker.data_changed(now);
                        self.dirty.insert(uid);
                    }
                }
            }
            Input::Sandbox(uid, result) => self.with(now, &uid, |worker, cx| worker.sandbox(cx, result)),
            Input::Volumes(uid, result) => self.with(now, &uid, |worker, cx| worker.volumes(cx, result)),
            Input::StatusFailed(uid) | Input::DeleteFailed(uid) => self.with(now, &uid, |worker, _| worker.undelivered(now)),
            Input::Started(id, result) => self.run(now, &id, |c, around, cx| c.started(&around, cx, result)),
            Input::Exited(id, exit) => {
                let unclaimed = self.found.get_mut(&id.pod).and_then(|pod| pod.containers.iter_mut().find(|c| c.id == id));
                if let Some(container) = unclaimed {
                    // The API has not been heard yet; the pod that claims it learns of its end then.
                    container.exit = Some(exit);
                } else if let Some(left) = self.strays.get_mut(&id.pod) {
                    left.remove(&id);
                    if left.is_empty() {
                        self.strays.remove(&id.pod);
                        self.out.push(Output::RemoveSandbox(id.pod));
                    }
                } else {
                    self.run(now, &id, |c, _, cx| c.exited(cx, &exit));
                }
            }
            Input::HookDone(id, hook, result) => self.run(now, &id, |c, around, cx| c.hook_done(&around, cx, hook, &result)),
            Input::Probed(id, probe, result) => self.run(now, &id, |c, around, cx| c.probed(&around, cx, probe, &result)),
        }
    }

    /// Does what is due by now and returns all wishes since the last call, in order.
    pub fn poll(&mut self, now: Time) -> Vec<Output> {
        while let Some((at, uid)) = self.timers.first().cloned()
            && at <= now
        {
            self.timers.remove(&(at, uid.clone()));
            self.due.remove(&uid);
            self.dirty.insert(uid);
        }
        let freed = self.sync(now);
        if freed {
            // What was put off for lack of room may fit now.
            let wanted: Vec<Arc<Pod>> = self.pods.values().filter_map(|w| Some(w.resize.as_ref()?.wanted.clone())).collect();
            wanted.into_iter().for_each(|pod| self.pod(now, pod));
            self.sync(now);
        }
        std::mem::take(&mut self.out)
    }

    /// Moves the pods to which something happened; says whether one of them holds no resources any more.
    fn sync(&mut self, now: Time) -> bool {
        let mut freed = false;
        for uid in std::mem::take(&mut self.dirty) {
            let Some(worker) = self.pods.get_mut(&uid) else { continue };
            let mut cx = Context { now, config: &self.config, node: &mut self.node, out: &mut self.out };
            worker.sync(&mut cx);
            worker.report(&mut cx);
            let wake = worker.next_wake();
            freed |= !worker.holds_resources();
            if worker.is_done() {
                self.pods.remove(&uid);
            }
            let wake = wake.filter(|_| self.pods.contains_key(&uid));
            self.set_timer(uid, wake);
        }
        freed
    }

    /// When [`Kubelet::poll`] must be called at the latest if no fact arrives before.
    pub fn next_wake(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn pod(&mut self, now: Time, pod: Arc<Pod>) {
        let uid = pod.uid.clone();
        self.dirty.insert(uid.clone());
        let others = self.pods.values().filter(|w| w.holds_resources() && w.pod.uid != uid).map(|w| (&*w.pod, &w.requests));
        let wants_more = self.pods.get(&uid).is_some_and(|worker| resize::is_wanted(&worker.pod, &pod));
        let pending = if wants_more { resize::grant(&pod, others, &self.config, now).err() } else { None };
        if let Some(worker) = self.pods.get_mut(&uid) {
            let mut cx = Context { now, config: &self.config, node: &mut self.node, out: &mut self.out };
            let pod = if pending.is_some() { resize::without(&worker.pod, &pod) } else { pod };
            let since =
                |p: &resize::Pending| worker.resize.as_ref().filter(|old| old.reason == p.reason).map_or(now, |old| old.since);
            worker.resize = pending.map(|p| resize::Pending { since: since(&p), ..p });
            worker.update(pod, &mut cx);
            return;
        }
        let found = self.found.remove(&uid);
        let new = found.is_none() && pod.deletion.is_none() && !pod.is_terminal() && pod.status.start_time.is_none();
        let others = self.pods.values().filter(|w| w.holds_resources()).map(|w| (&*w.pod, &w.requests));
        let rejection = if new { admission::admit(&pod, others, &self.config, &self.node).err() } else { None };
        let mut cx = Context { now, config: &self.config, node: &mut self.node, out: &mut self.out };
        let mut worker = Worker::new(pod, rejection, &mut cx);
        if let Some(found) = found {
            worker.adopt(&found, &mut cx);
        }
        self.pods.insert(uid, worker);
    }

    /// What runs for pods that the API does not know is ended.
    fn end_strays(&mut self) {
        for (uid, found) in std::mem::take(&mut self.found) {
            let running: BTreeSet<ContainerId> =
                found.containers.into_iter().filter(|c| c.exit.is_none()).map(|c| c.id).collect();
            if running.is_empty() {
                self.out.push(Output::RemoveSandbox(uid));
                continue;
            }
            self.out.extend(running.iter().cloned().map(Output::KillContainer));
            self.strays.insert(uid, running);
        }
    }

    fn with(&mut self, now: Time, uid: &PodUid, act: impl FnOnce(&mut Worker, &mut Context<'_>)) {
        let Some(worker) = self.pods.get_mut(uid) else { return };
        let mut cx = Context { now, config: &self.config, node: &mut self.node, out: &mut self.out };
        act(worker, &mut cx);
        self.dirty.insert(uid.clone());
    }

    /// Lets the container's current run act; facts about earlier runs say nothing any more.
    fn run(
        &mut self,
        now: Time,
        id: &ContainerId,
        act: impl FnOnce(&mut crate::container::ContainerWorker, crate::container::Surroundings<'_>, &mut Context<'_>),
    ) {
        self.with(now, &id.pod, |worker, cx| {
            if let Some((container, around)) = worker.container(&id.name)
                && container.attempt == id.attempt
            {
                act(container, around, cx);
            }
        });
    }

    fn set_timer(&mut self, uid: PodUid, at: Option<Time>) {
        if let Some(old) = self.due.remove(&uid) {
            self.timers.remove(&(old, uid.clone()));
        }
        if let Some(at) = at {
            self.timers.insert((at, uid.clone()));
            self.due.insert(uid, at);
        }
    }
}

/// A short name for logs and errors: `namespace/name`.
impl std::fmt::Display for PodRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
