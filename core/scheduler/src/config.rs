//! Profiles: how pods that name one scheduler or another are placed. Read from a `KubeSchedulerConfiguration`; what is not
//! said is as kube-scheduler has it.
//!
//! <https://kubernetes.io/docs/reference/scheduling/config/>

use std::collections::{BTreeMap, BTreeSet};

use object::scheduling::{NodeSelector, NodeSelectorTerm};
use object::value::{at, i64_at, list_at, str_at};
use object::{LabelSelector, Value};
use serde::Deserialize;

use crate::node_info::ResourceId;
use crate::plugins::Plugin;
use crate::pod_info::SpreadConstraint;

/// The plugins that rank nodes, and their weights.
const WEIGHTS: [(&str, i64); 7] = [
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodeResourcesFit", 1),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
];

/// How pods of one scheduler's name are placed.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Pods that name this scheduler go by it.
    pub name: String,
    /// Weights of the plugins that rank nodes; who is not here ranks nothing.
    weights: BTreeMap<String, i64>,
    /// Plugins that rule out nothing.
    disabled: BTreeSet<String>,
    /// Nodes that all pods must be on.
    pub(crate) added_affinity: Option<NodeSelector>,
    /// Nodes that all pods would like.
    pub(crate) added_preferences: Vec<(i64, NodeSelectorTerm)>,
    /// Resources, and groups of them, that the filter does not look at.
    ignored: (BTreeSet<String>, BTreeSet<String>),
    /// Resources whose balance counts.
    pub(crate) balanced: Vec<(String, i64)>,
    /// Whether the preferences of pods that are there already do not rank nodes.
    pub(crate) ignores_others_preferences: bool,
    /// How many of the nodes that fit are enough, in percent; 0 for what fits the size of the cluster.
    pub(crate) percentage_of_nodes: i64,
    /// So many nodes are tried for preemption at least: a share of all in percent, and a number.
    pub(crate) candidates: (i64, i64),
    /// How free resources rank nodes.
    pub(crate) scoring: Scoring,
    /// What the required affinity of a pod that is there already is worth.
    pub(crate) hard_affinity_weight: i64,
    /// How pods are spread that do not say; `None` for Kubernetes' own way.
    pub(crate) spread: Option<Vec<SpreadConstraint>>,
}

/// How the use of a node's resources ranks it.
#[derive(Clone, Debug)]
pub(crate) struct Scoring {
    pub strategy: Strategy,
    /// Resources and their weights.
    pub resources: Vec<(String, i64)>,
}

/// What use is good.
#[derive(Clone, Debug)]
pub(crate) enum Strategy {
    /// Little.
    Least,
    /// Much.
    Most,
    /// As the points say: percent of use, and the score from 0 to 10.
    Shape(Vec<(i64, i64)>),
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            name: "default-scheduler".to_owned(),
            weights: WEIGHTS.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect(),
            disabled: BTreeSet::new(),
            added_affinity: None,
            scoring: Scoring { strategy: Strategy::Least, resources: vec![("cpu".to_owned(), 1), ("memory".to_owned(), 1)] },
            hard_affinity_weight: 1,
            spread: None,
            added_preferences: Vec::new(),
            ignored: Default::default(),
            balanced: vec![("cpu".to_owned(), 1), ("memory".to_owned(), 1)],
            ignores_others_preferences: false,
            percentage_of_nodes: 0,
            candidates: (10, 100),
        }
    }
}

impl Profile {
    /// How much a plugin's ranking counts.
    pub(crate) fn weight(&self, plugin: &str) -> i64 {
        self.weights.get(plugin).copied().unwrap_or(0)
    }

    /// Whether a plugin rules nodes out.
    pub(crate) fn filters(&self, plugin: Plugin) -> bool {
        self.disabled.is_empty() || !self.disabled.contains(plugin.name())
    }

    /// Whether pods of lower priority may be pushed off a node.
    pub(crate) fn preempts(&self) -> bool {
        !self.disabled.contains("DefaultPreemption")
    }

    /// Whether the resources filter does not look at a resource.
    pub(crate) fn ignores_resource(&self, name: &str) -> bool {
        let (resources, groups) = &self.ignored;
        let Some((group, _)) = name.split_once('/') else { return false };
        resources.contains(name) || groups.contains(group)
    }

    /// The profiles of a `KubeSchedulerConfiguration`. An error says what is wrong with it.
    pub fn read(config: &Value) -> Result<Vec<Profile>, String> {
        let (version, kind) = (str_at(config, &["apiVersion"]), str_at(config, &["kind"]));
        if (version, kind) != ("kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration") {
            return Err(format!("no kind {kind:?} is registered for version {version:?}"));
        }
        let mut profiles: Vec<Profile> = Vec::new();
        for (i, raw) in list_at(config, &["profiles"]).iter().enumerate() {
            let profile = Profile::of(raw).map_err(|why| format!("profiles[{i}].{why}"))?;
            if profiles.iter().any(|other| other.name == profile.name) {
                return Err(format!("profiles[{i}].schedulerName: Duplicate value: {:?}", profile.name));
            }
            profiles.push(profile);
        }
        if profiles.is_empty() {
            profiles.push(Profile::default());
        }
        Ok(profiles)
    }

    fn of(raw: &Value) -> Result<Profile, String> {
        let mut profile = Profile::default();
        if let Some(name) = at(raw, &["schedulerName"]).and_then(Value::as_str) {
            name.clone_into(&mut profile.name);
        }
        for point in ["multiPoint", "filter", "score"] {
            profile.set_plugins(at(raw, &["plugins", point]).unwrap_or(&Value::Null), point);
        }
        for config in list_at(raw, &["pluginConfig"]) {
            let args = config.get("args").unwrap_or(&Value::Null);
            match str_at(config, &["name"]) {
                "NodeResourcesFit" => profile.set_scoring(args.get("scoringStrategy").unwrap_or(&Value::Null))?,
                "NodeAffinity" => {
                    let required = at(args, &["addedAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]);
                    profile.added_affinity = required.and_then(|required| NodeSelector::deserialize(required).ok());
                }
                "InterPodAffinity" => {
                    profile.hard_affinity_weight = i64_at(args, &["hardPodAffinityWeight"]).unwrap_or(1);
                }
                "PodTopologySpread" if str_at(args, &["defaultingType"]) == "List" => {
                    profile.spread = Some(list_at(args, &["defaultConstraints"]).iter().map(constraint).collect());
                }
                _ => {}
            }
        }
        Ok(profile)
    }

    fn set_plugins(&mut self, set: &Value, point: &str) {
        for plugin in list_at(set, &["disabled"]) {
            let name = str_at(plugin, &["name"]);
            let all: Vec<String> = if name == "*" { self.weights.keys().cloned().collect() } else { vec![name.to_owned()] };
            for name in all {
                if point != "filter" {
                    self.weights.remove(&name);
                }
                if point != "score" {
                    self.disabled.insert(name);
                }
            }
        }
        for plugin in list_at(set, &["enabled"]) {
            let name = str_at(plugin, &["name"]);
            if let Some((_, usual)) = WEIGHTS.iter().find(|(known, _)| point != "filter" && *known == name) {
                let weight = i64_at(plugin, &["weight"]).filter(|weight| *weight > 0).unwrap_or(*usual);
                self.weights.insert(name.to_owned(), weight);
            }
            if point != "score" {
                self.disabled.remove(name);
            }
        }
    }

    fn set_scoring(&mut self, strategy: &Value) -> Result<(), String> {
        let points = list_at(strategy, &["requestedToCapacityRatio", "shape"]);
        let point = |p: &Value| (i64_at(p, &["utilization"]).unwrap_or(0), i64_at(p, &["score"]).unwrap_or(0) * 10);
        let points: Vec<(i64, i64)> = points.iter().map(point).collect();
        self.scoring.strategy = match str_at(strategy, &["type"]) {
            "" | "LeastAllocated" => Strategy::Least,
            "MostAllocated" => Strategy::Most,
            "RequestedToCapacityRatio" if points.is_empty() => {
                return Err("scoringStrategy.requestedToCapacityRatio.shape: Required value".to_owned());
            }
            "RequestedToCapacityRatio" if !points.is_sorted_by(|a, b| a.0 < b.0) => {
                return Err(
                    "scoringStrategy.requestedToCapacityRatio.shape: Invalid value: utilization values must be sorted in \
                            increasing order"
                        .to_owned(),
                );
            }
            "RequestedToCapacityRatio" => Strategy::Shape(points),
            other => return Err(format!("scoringStrategy.type: Unsupported value: {other:?}")),
        };
        let resource = |r: &Value| (str_at(r, &["name"]).to_owned(), i64_at(r, &["weight"]).filter(|w| *w > 0).unwrap_or(1));
        let resources = list_at(strategy, &["resources"]);
        if !resources.is_empty() {
            self.scoring.resources = resources.iter().map(resource).collect();
        }
        Ok(())
    }
}

fn constraint(raw: &Value) -> SpreadConstraint {
    SpreadConstraint {
        max_skew: i64_at(raw, &["maxSkew"]).unwrap_or(1),
        topology_key: str_at(raw, &["topologyKey"]).to_owned(),
        required: str_at(raw, &["whenUnsatisfiable"]) != "ScheduleAnyway",
        selector: LabelSelector::nothing(),
        min_domains: None,
        honors_affinity: true,
        honors_taints: false,
    }
}

impl Scoring {
    /// The score of a node of which so much of each resource would be used. Resources that the node does not have do not count.
    pub fn score(&self, ranked: &[(ResourceId, i64)], used: impl Fn(ResourceId) -> Option<(i64, i64)>) -> i64 {
        let shaped = matches!(self.strategy, Strategy::Shape(_));
        let (mut sum, mut weights) = (0, 0);
        for (id, weight) in ranked {
            let Some((used, has)) = used(*id) else { continue };
            let score = self.of(used, has);
            if score > 0 || !shaped {
                sum += weight * score;
                weights += weight;
            }
        }
        match weights {
            0 => 0,
            // Only this one is rounded.
            _ if shaped => (2 * sum + weights) / (2 * weights),
            _ => sum / weights,
        }
    }

    fn of(&self, used: i64, has: i64) -> i64 {
        let percent = |part: i64| match part.checked_mul(100) {
            Some(hundredfold) => hundredfold / has,
            None => (i128::from(part) * 100 / i128::from(has)) as i64,
        };
        match &self.strategy {
            Strategy::Least => percent((has - used).max(0)),
            Strategy::Most => percent(used.min(has)),
            Strategy::Shape(points) => between(points, if used > has { 100 } else { percent(used) }),
        }
    }
}

/// The value at `x` on the line through the points.
fn between(points: &[(i64, i64)], x: i64) -> i64 {
    let Some(after) = points.iter().position(|(at, _)| x <= *at) else { return points.last().map_or(0, |(_, y)| *y) };
    match (after.checked_sub(1).and_then(|i| points.get(i)), points.get(after)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (x - x0) / (x1 - x0).max(1),
        (None, Some((_, y))) => *y,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use object::json;

    use super::*;

    fn config(profiles: Value) -> Value {
        json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": profiles})
    }

    #[test]
    fn profiles_are_read() {
        let read = Profile::read(&config(json!([
            {"schedulerName": "pack", "plugins": {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 5}]},
                "filter": {"disabled": [{"name": "NodePorts"}]}},
             "pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}]},
            {},
        ])));
        let profiles = read.unwrap();
        let pack = &profiles[0];
        assert_eq!((pack.name.as_str(), pack.weight("NodeResourcesFit"), pack.weight("ImageLocality")), ("pack", 5, 0));
        assert!(!pack.filters(Plugin::NodePorts) && pack.filters(Plugin::NodeResourcesFit));
        assert_eq!(pack.scoring.score(&[(0, 1), (1, 1)], |id| Some(if id == 0 { (50, 100) } else { (100, 100) })), 75);
        assert_eq!((profiles[1].name.as_str(), profiles[1].weight("TaintToleration")), ("default-scheduler", 3));
    }

    #[test]
    fn mistakes_are_named() {
        for (config, wrong) in [
            (json!({}), "no kind \"\" is registered for version \"\""),
            (config(json!([{}, {}])), "profiles[1].schedulerName: Duplicate value: \"default-scheduler\""),
            (
                config(json!([{"pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "Some"}}}]}])),
                "profiles[0].scoringStrategy.type: Unsupported value: \"Some\"",
            ),
        ] {
            assert_eq!(Profile::read(&config).unwrap_err(), wrong);
        }
    }

    #[test]
    fn shapes_are_lines() {
        let points = [(0, 0), (50, 10), (100, 0)];
        let found: Vec<i64> = [0, 25, 50, 75, 100].into_iter().map(|x| between(&points, x)).collect();
        assert_eq!(found, [0, 5, 10, 5, 0]);
    }
}
