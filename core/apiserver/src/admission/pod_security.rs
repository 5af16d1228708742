//! PodSecurity: the Pod Security Standards, enforced, warned of or audited as a namespace's labels say.
//!
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use std::fmt;

use object::value::at;
use object::{ApiError, Cause, GroupResource, GroupVersionKind, Result, Value, json};
use store::Key;

use super::{Attributes, Operation};
use crate::server::ApiServer;

mod checks;
mod config;
mod existing;

use checks::violations;
pub use config::PodSecurityConfiguration;

const PREFIX: &str = "pod-security.kubernetes.io/";

/// The standards, from everything to little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Level::Privileged),
            "baseline" => Some(Level::Baseline),
            "restricted" => Some(Level::Restricted),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

/// Judges pods, what makes pods, and the labels of namespaces.
pub fn validate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    if attributes.operation == Operation::Delete {
        return Ok(());
    }
    if attributes.is("", "namespaces") {
        namespace_labels(attributes, object)?;
        if attributes.operation == Operation::Update {
            existing::warn(api, attributes, object);
        }
        return Ok(());
    }
    let is_pod = attributes.is_part_of("", "pods");
    let Some((metadata, spec)) = pod_of(attributes, object) else { return Ok(()) };
    // A change that pods are not judged by needs no new judgement.
    if is_pod && attributes.old.is_some_and(|old| old.get("spec") == object.get("spec")) {
        return Ok(());
    }
    let key = Key::new(&GroupResource::literal("", "namespaces"), "", &attributes.target.namespace);
    let Some(namespace) = api.store.get(&key).map(|namespace| namespace.value()) else { return Ok(()) };
    let config = api.settings.pod_security.clone();
    if let Some(why) = config.exempts(&attributes.target.namespace, &attributes.user.name, spec) {
        api.annotate(&format!("{PREFIX}exempt"), || why.to_owned());
        return Ok(());
    }
    let (enforced, wrong) = policy(&config, &namespace, "enforce");
    if !wrong.is_empty() {
        let shown: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        api.annotate(&format!("{PREFIX}error"), || format!("Failed to parse policy: {}", shown.join(", ")));
    }
    let mut refused = None;
    if is_pod {
        api.annotate(&format!("{PREFIX}enforce-policy"), || enforced.to_string());
        let found = enforced.violations(metadata, spec);
        refused = (!found.is_empty()).then(|| format!("violates PodSecurity \"{enforced}\": {}", found.join(", ")));
    }
    let would = |policy: Policy| {
        let found = policy.violations(metadata, spec);
        (!found.is_empty()).then(|| format!("would violate PodSecurity \"{policy}\": {}", found.join(", ")))
    };
    if let Some(text) = would(policy(&config, &namespace, "audit").0) {
        api.annotate(&format!("{PREFIX}audit-violations"), || text);
    }
    if let Some(why) = refused {
        return Err(attributes.forbidden(&why));
    }
    // Where nothing is said of warnings, what is enforced is warned of if it is more.
    let warned = policy(&config, &namespace, "warn").0;
    let says_enforce = label(&namespace, "enforce").is_some() && label(&namespace, "warn").is_none();
    api.warnings.extend(would(if says_enforce && enforced.level > warned.level { enforced } else { warned }));
    Ok(())
}

/// The pod, or the template of pods, of an object.
fn pod_of<'a>(attributes: &Attributes<'_>, object: &'a Value) -> Option<(&'a Value, &'a Value)> {
    let gvr = &attributes.target.resource.gvr;
    let template = match (&*gvr.group, &*gvr.resource) {
        _ if !attributes.target.subresource.is_empty() && attributes.target.subresource != "ephemeralcontainers" => return None,
        ("", "pods") => object,
        ("", "podtemplates") => at(object, &["template"])?,
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => at(object, &["spec", "template"])?,
        ("batch", "cronjobs") => at(object, &["spec", "jobTemplate", "spec", "template"])?,
        _ => return None,
    };
    Some((template.get("metadata").unwrap_or(&Value::Null), template.get("spec")?))
}

/// A level of the standards in one of their versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Policy {
    level: Level,
    /// The minor version, or the latest.
    version: Option<u32>,
}

impl Policy {
    fn violations(self, metadata: &Value, spec: &Value) -> Vec<String> {
        violations(self.level, self.version.unwrap_or(u32::MAX), metadata, spec)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(minor) => write!(f, "{}:v1.{minor}", self.level.name()),
            None => write!(f, "{}:latest", self.level.name()),
        }
    }
}

fn label(namespace: &Value, mode: &str) -> Option<String> {
    str_of(at(namespace, &["metadata", "labels"])?.get(format!("{PREFIX}{mode}"))?)
}

fn str_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// What a namespace's labels say of one mode, and what of it cannot be read. Then the strictest is enforced, and nothing audited
/// or warned of.
fn policy(config: &PodSecurityConfiguration, namespace: &Value, mode: &str) -> (Policy, Vec<Cause>) {
    let mut wrong = Vec::new();
    let mut policy = config.default_of(mode);
    if let Some(text) = label(namespace, mode) {
        let unread = if mode == "enforce" { Level::Restricted } else { Level::Privileged };
        policy.level = Level::parse(&text).unwrap_or_else(|| {
            wrong.push(Cause::invalid(format!("metadata.labels[{PREFIX}{mode}]"), &json!(text), LEVELS));
            unread
        });
    }
    let key = format!("{mode}-version");
    if let Some(text) = label(namespace, &key) {
        policy.version = version(&text).unwrap_or_else(|| {
            wrong.push(Cause::invalid(format!("metadata.labels[{PREFIX}{key}]"), &json!(text), VERSIONS));
            None
        });
    }
    (policy, wrong)
}

const LEVELS: &str = "must be one of privileged, baseline, restricted";
const VERSIONS: &str = "must be \"latest\" or \"v1.x\"";

/// A version of the standards: a minor version, or the latest. `None` if it is none.
fn version(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let minor = text.strip_prefix("v1.")?;
    let plain = minor.bytes().all(|b| b.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
    if plain { minor.parse().ok().map(Some) } else { None }
}

/// Labels that nobody could act on are refused where they are set.
fn namespace_labels(attributes: &Attributes<'_>, namespace: &Value) -> Result<()> {
    let labels = object::meta::string_map(at(namespace, &["metadata", "labels"]));
    let old = attributes.old.map(|old| object::meta::string_map(at(old, &["metadata", "labels"]))).unwrap_or_default();
    let mut causes = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        for (key, is_version) in [(format!("{PREFIX}{mode}"), false), (format!("{PREFIX}{mode}-version"), true)] {
            let Some(text) = labels.get(&key).filter(|text| old.get(&key) != Some(text)) else { continue };
            let (fine, why) =
                if is_version { (version(text).is_some(), VERSIONS) } else { (Level::parse(text).is_some(), LEVELS) };
            if !fine {
                causes.push(Cause::invalid(format!("metadata.labels[{key}]"), &json!(text), why));
            }
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&GroupVersionKind::new("", "v1", "Namespace"), attributes.name, causes))
}
