//! Explanations: for any pod, what every plugin says of every node, and the smallest changes that would make it fit. Made when they
//! are asked for, from the state of that moment; nothing of it is on the way of a pod that is being placed.
//!
//! `GET /debug/scheduler/namespaces/NAMESPACE/pods/NAME?node=NAME&limit=NUMBER` answers a JSON object:
//!
//! - `pod`, `schedulerName`, `revision` (the state it speaks of), `attempts`, and `lastAttempt` with `time`, `node` or `message`;
//! - `state`: `Scheduled` (with `node`), `Gated`, `Waiting` for room or its turn, or `Binding` while volumes are made;
//! - `message`: what rules out every node, if anything does;
//! - `nodes`, the best first: `name`, `fits`, `filters` (`plugin`, `passed`, `reasons`), and for nodes that fit `scores` (`plugin`,
//!   `weight`, `raw`, `normalized`, `weighted`) and `total`; `omitted` counts those beyond the limit;
//! - `changes`, the smallest first (see [`changes`]): `edits` to be made together, and the `nodes` that the pod would fit then.

mod changes;
mod edits;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use object::order::Order as _;
use object::{Time, Value, json};
use store::{Key, Store};

use crate::plugins::{Plugin, Rejection, Trial};
use crate::pod_info::PodInfo;
use crate::scheduler::Scheduler;
use crate::search::Ground;

/// Nodes that are shown where nobody says how many.
const DEFAULT_NODES: usize = 500;
/// So many last attempts are remembered.
const MAX_ATTEMPTS: usize = 4096;

/// What came of the last attempt at a pod.
pub(crate) struct Attempted {
    at: Time,
    number: u32,
    /// The node, or why there is none.
    result: Result<Arc<str>, Arc<str>>,
}

/// The last attempts at the pods that were tried most lately.
#[derive(Default)]
pub(crate) struct Attempts {
    by_pod: BTreeMap<Key, Attempted>,
    order: VecDeque<Key>,
}

impl Attempts {
    /// Remembers one.
    pub fn note(&mut self, key: &Key, at: Time, number: u32, result: Result<Arc<str>, Arc<str>>) {
        if self.by_pod.insert(key.clone(), Attempted { at, number, result }).is_none() {
            self.order.push_back(key.clone());
            if self.order.len() > MAX_ATTEMPTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_pod.remove(&oldest);
            }
        }
    }
}

/// What is asked for.
#[derive(Default)]
struct Question<'a> {
    node: Option<&'a str>,
    limit: usize,
}

impl<'a> Question<'a> {
    fn parse(query: &'a str) -> Self {
        let mut question = Question { node: None, limit: DEFAULT_NODES };
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "node" => question.node = Some(value),
                "limit" => question.limit = value.parse().unwrap_or(DEFAULT_NODES),
                _ => {}
            }
        }
        question
    }
}

/// What the plugins say of one node.
struct Row {
    slot: u32,
    name: Arc<str>,
    verdicts: Vec<(Plugin, Result<(), Rejection>)>,
    scores: Vec<Value>,
    total: i64,
}

impl Row {
    fn fits(&self) -> bool {
        self.verdicts.iter().all(|(_, verdict)| verdict.is_ok())
    }
}

impl Scheduler {
    /// Answers `GET` of a path below `/debug/scheduler/`; `None` where there is nothing.
    pub fn explain(&mut self, store: &Store, now: Time, target: &str) -> Option<Value> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let ["debug", "scheduler", "namespaces", namespace, "pods", name] = parts.as_slice() else { return None };
        self.follow(store, now);
        let key = Key::new(&self.names.pods, namespace, name);
        let object = store.get(&key)?.clone();
        let pod = self.cache.read(&object);
        if !self.profiles.contains_key(&pod.scheduler_name) {
            return None;
        }
        // What is bound is looked at as if it were not.
        let placed = self.cache.displace(&key);
        let free = Arc::new(PodInfo { node_name: "".into(), ..(*pod).clone() });
        let mut answer = self.describe(store, &free, &Question::parse(query));
        let pending = self.pending.contains_key(&key);
        if let Some(placed) = placed {
            self.cache.place(&key, placed);
        }
        answer["revision"] = store.revision().to_string().into();
        answer["state"] = match (pending, pod.node_name.is_empty(), pod.gates.is_empty()) {
            (true, ..) => "Binding",
            (_, false, _) => "Scheduled",
            (_, _, false) => "Gated",
            _ => "Waiting",
        }
        .into();
        if !pod.node_name.is_empty() {
            answer["node"] = (*pod.node_name).into();
        }
        if let Some(last) = self.attempts.by_pod.get(&key) {
            answer["attempts"] = last.number.into();
            answer["lastAttempt"] = match &last.result {
                Ok(node) => json!({"time": last.at.rfc3339(), "node": &**node}),
                Err(message) => json!({"time": last.at.rfc3339(), "message": &**message}),
            };
        }
        Some(answer)
    }

    fn describe(&mut self, store: &Store, pod: &Arc<PodInfo>, question: &Question<'_>) -> Value {
        let profile = self.profile(pod);
        let mut answer = json!({
            "pod": {"namespace": &*pod.namespace, "name": &*pod.name, "uid": &*pod.uid}, "schedulerName": pod.scheduler_name,
        });
        let ground = match self.search.prepare(pod, &mut self.cache, store, &profile) {
            Ok(ground) => ground,
            Err(refused) => {
                answer["message"] = refused.why.into();
                answer["plugin"] = refused.plugin.name().into();
                answer["nodes"] = json!([]);
                answer["changes"] = json!([]);
                return answer;
            }
        };
        let mut rows = self.rows(store, pod, &ground);
        answer["changes"] = changes::find(self, store, pod, &rows);
        rows.order_by(|a, b| (b.fits(), b.total, &a.name).cmp(&(a.fits(), a.total, &b.name)));
        rows.retain(|row| question.node.is_none_or(|node| *node == *row.name));
        answer["omitted"] = rows.len().saturating_sub(question.limit).into();
        rows.truncate(question.limit);
        answer["nodes"] = rows.iter().map(|row| self.row(row)).collect::<Vec<_>>().into();
        self.search.keep(pod, ground.prepared, &self.cache);
        answer
    }

    /// Every node, with every plugin asked.
    fn rows(&mut self, store: &Store, pod: &PodInfo, ground: &Ground) -> Vec<Row> {
        let order = self.cache.order().to_vec();
        let trial = Trial { pod, prepared: &ground.prepared, attached: &ground.attached, cache: &self.cache, store };
        let mut rows: Vec<Row> = Vec::with_capacity(order.len());
        for node in order.iter().filter_map(|slot| self.cache.at(*slot)) {
            let on = |plugin: &Plugin| ground.prepared.profile.filters(*plugin);
            let verdict = |plugin: Plugin| match plugin {
                Plugin::NodeAffinity => trial.absent(node).and_then(|()| trial.run(plugin, node)),
                _ => trial.run(plugin, node),
            };
            let verdicts = Plugin::ALL.iter().copied().filter(on).map(|plugin| (plugin, verdict(plugin))).collect();
            rows.push(Row { slot: node.slot, name: node.name.clone(), verdicts, scores: Vec::new(), total: 0 });
        }
        let fitting: Vec<u32> = rows.iter().filter(|row| row.fits()).map(|row| row.slot).collect();
        let columns = trial.columns(&fitting, order.len() as u32, true);
        for (i, row) in rows.iter_mut().filter(|row| row.fits()).enumerate() {
            for column in &columns {
                let (Some(raw), Some(score)) = (column.raw.get(i), column.normalized.get(i)) else { continue };
                let weighted = score * column.weight;
                row.total += weighted;
                row.scores.push(json!({
                    "plugin": column.plugin, "weight": column.weight, "raw": raw, "normalized": score, "weighted": weighted,
                }));
            }
        }
        rows
    }

    fn row(&self, row: &Row) -> Value {
        let filter = |(plugin, verdict): &(Plugin, Result<(), Rejection>)| match verdict {
            Ok(()) => json!({"plugin": plugin.name(), "passed": true}),
            Err(rejection) => {
                json!({"plugin": plugin.name(), "passed": false, "reasons": rejection.reasons(&self.cache.resources)})
            }
        };
        let filters: Vec<Value> = row.verdicts.iter().map(filter).collect();
        let mut shown = json!({"name": &*row.name, "fits": row.fits(), "filters": filters});
        if row.fits() {
            shown["scores"] = row.scores.clone().into();
            shown["total"] = row.total.into();
        }
        shown
    }
}
