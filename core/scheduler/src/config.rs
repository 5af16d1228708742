//! Profiles: how pods that name one scheduler or another are placed. Read from a `KubeSchedulerConfiguration`; what is not
//! said is as kube-scheduler has it.
//!
//! <https://kubernetes.io/docs/reference/scheduling/config/>

mod read;

use std::collections::{BTreeMap, BTreeSet};

use object::Value;
use object::scheduling::{NodeSelector, NodeSelectorTerm};

use crate::node_info::ResourceId;
use crate::plugins::Plugin;
use crate::pod_info::SpreadConstraint;

/// The plugins that rank nodes, and their weights.
pub(crate) const WEIGHTS: [(&str, i64); 7] = [
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
    pub(crate) weights: BTreeMap<String, i64>,
    /// Plugins that rule out nothing, or (DefaultPreemption) make no room.
    pub(crate) disabled: BTreeSet<String>,
    /// Nodes that all pods must be on.
    pub(crate) added_affinity: Option<NodeSelector>,
    /// Nodes that all pods would like.
    pub(crate) added_preferences: Vec<(i64, NodeSelectorTerm)>,
    /// Resources, and groups of them, that the filter does not look at.
    pub(crate) ignored: (BTreeSet<String>, BTreeSet<String>),
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
        read::profiles(config)
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
    use object::{Value, json};

    use super::*;

    fn config(profiles: Value) -> Value {
        json!({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": profiles})
    }

    fn args(plugin: &str, args: Value) -> Value {
        config(json!([{"pluginConfig": [{"name": plugin, "args": args}]}]))
    }

    #[test]
    fn arguments_are_taken() {
        let mut given = config(json!([{"pluginConfig": [
            {"name": "NodeResourcesFit", "args": {"ignoredResources": ["x.com/a"], "ignoredResourceGroups": ["y.com"]}},
            {"name": "DefaultPreemption", "args": {"minCandidateNodesPercentage": 5}},
            {"name": "NodeResourcesBalancedAllocation", "args": {"resources": [{"name": "cpu", "weight": 1}]}},
            {"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 7, "ignorePreferredTermsOfExistingPods": true}},
        ]}]));
        given["percentageOfNodesToScore"] = json!(30);
        let profiles = Profile::read(&given).unwrap();
        let profile = &profiles[0];
        let ignored: Vec<bool> =
            ["x.com/a", "x.com/b", "y.com/c", "cpu"].iter().map(|name| profile.ignores_resource(name)).collect();
        assert_eq!(ignored, [true, false, true, false]);
        assert_eq!((profile.candidates, profile.percentage_of_nodes), ((5, 100), 30));
        assert_eq!((profile.hard_affinity_weight, profile.ignores_others_preferences), (7, true));
        assert_eq!(profile.balanced, [("cpu".to_owned(), 1)]);
    }

    #[test]
    fn extension_points_go_before_the_whole() {
        let profiles = Profile::read(&config(json!([{"plugins": {
            "multiPoint": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 4}, {"name": "NodePorts"}]},
            "score": {"disabled": [{"name": "NodeResourcesFit"}]},
            "postFilter": {"disabled": [{"name": "*"}]},
        }}])));
        let profile = &profiles.unwrap()[0];
        assert_eq!((profile.weight("NodeResourcesFit"), profile.weight("ImageLocality")), (0, 0));
        let on: Vec<&str> = Plugin::ALL.iter().filter(|plugin| profile.filters(**plugin)).map(|plugin| plugin.name()).collect();
        assert_eq!(on, ["NodePorts", "NodeResourcesFit"]);
        assert!(!profile.preempts());
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
                args("InterPodAffinity", json!({"hardPodAffinityWeight": 101})),
                "profiles[0].pluginConfig[0].hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
            ),
            (
                args("DefaultPreemption", json!({"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 0})),
                "profiles[0].pluginConfig[0].minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as \
                 minCandidateNodesAbsolute",
            ),
            (
                args(
                    "PodTopologySpread",
                    json!({"defaultConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"}]}),
                ),
                "profiles[0].pluginConfig[0].defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty",
            ),
            (
                args(
                    "PodTopologySpread",
                    json!({"defaultingType": "List", "defaultConstraints": [{"topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway"}]}),
                ),
                "profiles[0].pluginConfig[0].defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)",
            ),
            (
                args(
                    "NodeResourcesFit",
                    json!({"scoringStrategy": {"type": "LeastAllocated", "resources": [{"name": "cpu", "weight": 101}]}}),
                ),
                "profiles[0].pluginConfig[0].scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in \
                 valid range (0, 100]",
            ),
            (
                args(
                    "NodeResourcesFit",
                    json!({"scoringStrategy": {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": [
                    {"utilization": 50, "score": 1}, {"utilization": 20, "score": 1}]}}}),
                ),
                "profiles[0].pluginConfig[0].scoringStrategy.requestedToCapacityRatio.shape[1].utilization: Invalid value: 20: values \
                 must be sorted in increasing order",
            ),
            (
                args("Nothing", json!({})),
                "profiles[0].pluginConfig[0].name: Invalid value: \"Nothing\": not found in the registry",
            ),
            (
                config(json!([{"plugins": {"score": {"enabled": [{"name": "Nothing"}]}}}])),
                "profiles[0].plugins.score.enabled[0].name: Invalid value: \"Nothing\": not found in the registry",
            ),
            (
                config(json!([{"percentageOfNodesToScore": 101}])),
                "profiles[0].percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
            ),
            (
                config(json!([{"pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "Some"}}}]}])),
                "profiles[0].pluginConfig[0].scoringStrategy.type: Unsupported value: \"Some\": supported values: \"LeastAllocated\", \
                 \"MostAllocated\", \"RequestedToCapacityRatio\"",
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
