//! Reading a `KubeSchedulerConfiguration`; what is wrong with it is said as kube-scheduler says it.

use std::collections::BTreeSet;

use object::scheduling::{NodeSelector, NodeSelectorTerm};
use object::value::{at, i64_at, list_at, str_at};
use object::{LabelSelector, Value};
use serde::Deserialize;

use super::{Profile, Strategy, WEIGHTS};
use crate::plugins::Plugin;
use crate::pod_info::SpreadConstraint;

/// Extension points that there are.
const POINTS: [&str; 13] = [
    "multiPoint",
    "preEnqueue",
    "queueSort",
    "preFilter",
    "filter",
    "postFilter",
    "preScore",
    "score",
    "reserve",
    "permit",
    "preBind",
    "bind",
    "postBind",
];
/// Plugins that neither rule out nor rank.
const OTHERS: [&str; 4] = ["SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder"];
/// Scoring strategies, in order.
const STRATEGIES: [&str; 3] = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];

type Read<T = ()> = Result<T, String>;

/// Whether there is a plugin of this name.
fn is_known(name: &str) -> bool {
    name == "*"
        || OTHERS.contains(&name)
        || WEIGHTS.iter().any(|(known, _)| *known == name)
        || Plugin::ALL.iter().any(|plugin| plugin.name() == name)
}

fn invalid(path: &str, value: &Value, why: &str) -> String {
    format!("{path}: Invalid value: {value}: {why}")
}

fn unsupported(path: &str, value: &str, supported: &[&str]) -> String {
    let names: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
    format!("{path}: Unsupported value: {value:?}: supported values: {}", names.join(", "))
}

/// An integer in a range, if it is given.
fn within(owner: &Value, path: &str, field: &str, (low, high): (i64, i64), why: &str) -> Read<Option<i64>> {
    match i64_at(owner, &[field]) {
        Some(number) if number < low || number > high => Err(invalid(&format!("{path}{field}"), &number.into(), why)),
        number => Ok(number),
    }
}

/// The profiles of a configuration.
pub(super) fn profiles(config: &Value) -> Read<Vec<Profile>> {
    let (version, kind) = (str_at(config, &["apiVersion"]), str_at(config, &["kind"]));
    if (version, kind) != ("kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration") {
        return Err(format!("no kind {kind:?} is registered for version {version:?}"));
    }
    const RANGE: &str = "not in valid range [0-100]";
    let percentage = within(config, "", "percentageOfNodesToScore", (0, 100), RANGE)?;
    let mut profiles: Vec<Profile> = Vec::new();
    for (i, raw) in list_at(config, &["profiles"]).iter().enumerate() {
        let mut profile = profile(raw).map_err(|why| format!("profiles[{i}].{why}"))?;
        let own = within(raw, &format!("profiles[{i}]."), "percentageOfNodesToScore", (0, 100), RANGE)?;
        profile.percentage_of_nodes = own.or(percentage).unwrap_or(0);
        if profiles.iter().any(|other| other.name == profile.name) {
            return Err(format!("profiles[{i}].schedulerName: Duplicate value: {:?}", profile.name));
        }
        profiles.push(profile);
    }
    if profiles.is_empty() {
        profiles.push(Profile { percentage_of_nodes: percentage.unwrap_or(0), ..Profile::default() });
    }
    Ok(profiles)
}

fn profile(raw: &Value) -> Read<Profile> {
    let mut profile = Profile::default();
    if let Some(name) = at(raw, &["schedulerName"]).and_then(Value::as_str) {
        if name.is_empty() {
            return Err("schedulerName: Required value".to_owned());
        }
        name.clone_into(&mut profile.name);
    }
    // What is said of one extension point goes before what is said of all.
    for point in POINTS {
        set_plugins(&mut profile, at(raw, &["plugins", point]).unwrap_or(&Value::Null), point)?;
    }
    let mut seen = BTreeSet::new();
    for (i, config) in list_at(raw, &["pluginConfig"]).iter().enumerate() {
        let (name, args) = (str_at(config, &["name"]), config.get("args").unwrap_or(&Value::Null));
        if !is_known(name) {
            return Err(format!("pluginConfig[{i}].name: Invalid value: {name:?}: not found in the registry"));
        }
        if !seen.insert(name) {
            return Err(format!("pluginConfig[{i}]: Duplicate value: {name:?}"));
        }
        arguments(&mut profile, name, args).map_err(|why| format!("pluginConfig[{i}].{why}"))?;
    }
    Ok(profile)
}

fn set_plugins(profile: &mut Profile, set: &Value, point: &str) -> Read {
    for list in ["enabled", "disabled"] {
        for (i, plugin) in list_at(set, &[list]).iter().enumerate() {
            let name = str_at(plugin, &["name"]);
            if !is_known(name) {
                return Err(format!("plugins.{point}.{list}[{i}].name: Invalid value: {name:?}: not found in the registry"));
            }
        }
    }
    let (filters, scores) = (matches!(point, "multiPoint" | "filter" | "postFilter"), matches!(point, "multiPoint" | "score"));
    let counts = |name: &str| match point {
        "filter" => !OTHERS.contains(&name),
        "postFilter" => name == "DefaultPreemption",
        _ => true,
    };
    for plugin in list_at(set, &["disabled"]) {
        let name = str_at(plugin, &["name"]);
        let everyone =
            || Plugin::ALL.iter().map(|plugin| plugin.name()).chain(OTHERS).chain(WEIGHTS.iter().map(|(name, _)| *name));
        let all: Vec<&str> = if name == "*" { everyone().collect() } else { vec![name] };
        for name in all {
            if scores {
                profile.weights.remove(name);
            }
            if filters && counts(name) {
                profile.disabled.insert(name.to_owned());
            }
        }
    }
    for plugin in list_at(set, &["enabled"]) {
        let name = str_at(plugin, &["name"]);
        if let Some((_, usual)) = WEIGHTS.iter().find(|(known, _)| scores && *known == name) {
            let weight = i64_at(plugin, &["weight"]).filter(|weight| *weight > 0).unwrap_or(*usual);
            profile.weights.insert(name.to_owned(), weight);
        }
        if filters && counts(name) {
            profile.disabled.remove(name);
        }
    }
    Ok(())
}

fn arguments(profile: &mut Profile, plugin: &str, args: &Value) -> Read {
    match plugin {
        "NodeResourcesFit" => fit(profile, args)?,
        "NodeResourcesBalancedAllocation" => {
            let resources = resources(args, "", (1, 1), |_| "must be 1".to_owned())?;
            if !resources.is_empty() {
                profile.balanced = resources;
            }
        }
        "NodeAffinity" => {
            let required = at(args, &["addedAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]);
            profile.added_affinity = required.and_then(|required| NodeSelector::deserialize(required).ok());
            let preferred = list_at(args, &["addedAffinity", "preferredDuringSchedulingIgnoredDuringExecution"]);
            let preference =
                |p: &Value| Some((i64_at(p, &["weight"])?, NodeSelectorTerm::deserialize(p.get("preference")?).ok()?));
            profile.added_preferences = preferred.iter().filter_map(preference).collect();
        }
        "InterPodAffinity" => {
            let weight = within(args, "", "hardPodAffinityWeight", (0, 100), "not in valid range [0, 100]")?;
            profile.hard_affinity_weight = weight.unwrap_or(1);
            let ignored = at(args, &["ignorePreferredTermsOfExistingPods"]).and_then(Value::as_bool);
            profile.ignores_others_preferences = ignored.unwrap_or(false);
        }
        "DefaultPreemption" => {
            let percent = within(args, "", "minCandidateNodesPercentage", (0, 100), "not in valid range [0, 100]")?.unwrap_or(10);
            let number =
                within(args, "", "minCandidateNodesAbsolute", (0, i64::MAX), "not in valid range [0, inf)")?.unwrap_or(100);
            if percent == 0 && number == 0 {
                let why = "cannot be zero at the same time as minCandidateNodesAbsolute";
                return Err(invalid("minCandidateNodesPercentage", &0.into(), why));
            }
            profile.candidates = (percent, number);
        }
        "PodTopologySpread" => spread(profile, args)?,
        "VolumeBinding" => {
            let why = "invalid BindTimeoutSeconds, should not be a negative value";
            within(args, "", "bindTimeoutSeconds", (0, i64::MAX), why)?;
        }
        _ => {}
    }
    Ok(())
}

fn fit(profile: &mut Profile, args: &Value) -> Read {
    let texts = |field: &str| list_at(args, &[field]).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let groups = texts("ignoredResourceGroups");
    if let Some(i) = groups.iter().position(|group| group.contains('/')) {
        let group = groups.get(i).cloned().unwrap_or_default();
        let why = "resource group name can't contain '/'";
        return Err(invalid(&format!("ignoredResourceGroups[{i}]"), &group.into(), why));
    }
    profile.ignored = (object::order::set(texts("ignoredResources")), object::order::set(groups));
    let Some(strategy) = args.get("scoringStrategy") else { return Ok(()) };
    let kind = match str_at(strategy, &["type"]) {
        "" => "LeastAllocated",
        kind if STRATEGIES.contains(&kind) => kind,
        other => return Err(unsupported("scoringStrategy.type", other, &STRATEGIES)),
    };
    let why = |name: &str| format!("resource weight of {name} not in valid range (0, 100]");
    let resources = resources(strategy, "scoringStrategy.", (1, 100), why)?;
    let shape = strategy.get("requestedToCapacityRatio");
    profile.scoring.strategy = match (kind, shape) {
        ("RequestedToCapacityRatio", Some(shape)) => Strategy::Shape(points(shape)?),
        ("RequestedToCapacityRatio", None) => {
            let why = "must be specified when type is RequestedToCapacityRatio";
            return Err(format!("scoringStrategy.requestedToCapacityRatio: Required value: {why}"));
        }
        (_, Some(_)) => {
            let why = "must be nil when type is not RequestedToCapacityRatio";
            return Err(format!("scoringStrategy.requestedToCapacityRatio: Forbidden: {why}"));
        }
        ("MostAllocated", None) => Strategy::Most,
        _ => Strategy::Least,
    };
    if !resources.is_empty() {
        profile.scoring.resources = resources;
    }
    Ok(())
}

/// Resources with weights; 1 where none is given.
fn resources(owner: &Value, path: &str, range: (i64, i64), why: impl Fn(&str) -> String) -> Read<Vec<(String, i64)>> {
    let mut found: Vec<(String, i64)> = Vec::new();
    for (i, resource) in list_at(owner, &["resources"]).iter().enumerate() {
        let name = str_at(resource, &["name"]);
        let weight = i64_at(resource, &["weight"]).filter(|weight| *weight != 0).unwrap_or(1);
        if weight < range.0 || weight > range.1 {
            return Err(invalid(&format!("{path}resources[{i}].weight"), &weight.into(), &why(name)));
        }
        if found.iter().any(|(other, _)| other == name) {
            return Err(format!("{path}resources[{i}].name: Duplicate value: {name:?}"));
        }
        found.push((name.to_owned(), weight));
    }
    Ok(found)
}

/// The points of a shape: percent of use, and the score from 0 to 100.
fn points(ratio: &Value) -> Read<Vec<(i64, i64)>> {
    const PATH: &str = "scoringStrategy.requestedToCapacityRatio.shape";
    let mut points: Vec<(i64, i64)> = Vec::new();
    for (i, point) in list_at(ratio, &["shape"]).iter().enumerate() {
        let path = format!("{PATH}[{i}].");
        let utilization = within(point, &path, "utilization", (0, 100), "not in valid range [0, 100]")?.unwrap_or(0);
        let score = within(point, &path, "score", (0, 10), "not in valid range [0, 10]")?.unwrap_or(0);
        if points.last().is_some_and(|(before, _)| *before >= utilization) {
            return Err(invalid(&format!("{path}utilization"), &utilization.into(), "values must be sorted in increasing order"));
        }
        points.push((utilization, score * 10));
    }
    if points.is_empty() {
        return Err(format!("{PATH}: Required value: at least one point must be specified"));
    }
    Ok(points)
}

fn spread(profile: &mut Profile, args: &Value) -> Read {
    let kind = match str_at(args, &["defaultingType"]) {
        "" => "System",
        kind @ ("System" | "List") => kind,
        other => return Err(unsupported("defaultingType", other, &["System", "List"])),
    };
    let list = list_at(args, &["defaultConstraints"]);
    if kind == "System" {
        let none = list.is_empty();
        let why = "when .defaultConstraints are not empty";
        return if none { Ok(()) } else { Err(invalid("defaultingType", &kind.into(), why)) };
    }
    let mut found: Vec<SpreadConstraint> = Vec::new();
    for (i, raw) in list.iter().enumerate() {
        let path = format!("defaultConstraints[{i}]");
        let constraint = constraint(raw, &path)?;
        let same =
            |other: &SpreadConstraint| (&other.topology_key, other.required) == (&constraint.topology_key, constraint.required);
        if found.iter().any(same) {
            let what = format!("{{{}, {}}}", constraint.topology_key, str_at(raw, &["whenUnsatisfiable"]));
            return Err(format!("{path}: Duplicate value: {what:?}"));
        }
        found.push(constraint);
    }
    profile.spread = Some(found);
    Ok(())
}

fn constraint(raw: &Value, path: &str) -> Read<SpreadConstraint> {
    let max_skew = i64_at(raw, &["maxSkew"]).unwrap_or(0);
    if max_skew <= 0 {
        return Err(invalid(&format!("{path}.maxSkew"), &max_skew.into(), "not in valid range (0, inf)"));
    }
    let topology_key = str_at(raw, &["topologyKey"]);
    if topology_key.is_empty() {
        return Err(format!("{path}.topologyKey: Required value: can not be empty"));
    }
    let required = match str_at(raw, &["whenUnsatisfiable"]) {
        "" => return Err(format!("{path}.whenUnsatisfiable: Required value: can not be empty")),
        "DoNotSchedule" => true,
        "ScheduleAnyway" => false,
        other => return Err(unsupported(&format!("{path}.whenUnsatisfiable"), other, &["DoNotSchedule", "ScheduleAnyway"])),
    };
    if raw.get("labelSelector").is_some_and(|selector| !selector.is_null()) {
        let why = "constraint must not define a selector, as they deduced for each pod";
        return Err(format!("{path}.labelSelector: Forbidden: {why}"));
    }
    Ok(SpreadConstraint {
        max_skew,
        topology_key: topology_key.to_owned(),
        required,
        selector: LabelSelector::nothing(),
        min_domains: None,
        honors_affinity: true,
        honors_taints: false,
    })
}
