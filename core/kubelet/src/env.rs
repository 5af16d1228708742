//! A container's environment, command and arguments with everything resolved: `$(VAR)` references, fields of the pod,
//! keys of ConfigMaps and Secrets, and the Services of the namespace.

use std::collections::{BTreeMap, BTreeSet};

use object::Quantity;

use crate::io::{Config, DataKind, Reference, ServiceEnv};
use crate::node_state::{Lookup, NodeState};
use crate::pod::{Container, EnvSource, KeyRef, Pod, ResourceFieldRef};

/// Why something cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// An answer is still to come.
    Wait,
    /// It leads nowhere; the text is for people.
    Missing(String),
}

/// What names lead to while one pod's container is put together.
pub(crate) struct Resolver<'a> {
    pub config: &'a Config,
    pub node: &'a NodeState,
    pub pod: &'a Pod,
    pub ips: &'a [String],
}

/// The environment of `container`, names unique.
pub(crate) fn environment(r: &Resolver<'_>, container: &Container) -> Result<Vec<(String, String)>, Unresolved> {
    let services = service_variables(r);
    let mut env = Env::default();
    for source in &container.env_from {
        let (kind, reference) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(reference), _) => (DataKind::ConfigMap, reference),
            (None, Some(reference)) => (DataKind::Secret, reference),
            (None, None) => continue,
        };
        match r.node.lookup(&r.reference(kind, &reference.name)) {
            Lookup::Unknown => return Err(Unresolved::Wait),
            Lookup::Missing if reference.optional => {}
            Lookup::Missing => return Err(not_found(kind, &reference.name)),
            Lookup::Data(data) => {
                for (key, value) in data.iter() {
                    env.set(format!("{}{key}", source.prefix), String::from_utf8_lossy(value).into_owned());
                }
            }
        }
    }
    for var in &container.env {
        let value = match &var.value_from {
            Some(source) => r.value_from(source, container)?,
            None => Some(expand(&var.value, |name| env.get(name).or_else(|| services.get(name).map(String::as_str)))),
        };
        if let Some(value) = value {
            env.set(var.name.clone(), value);
        }
    }
    for (name, value) in services {
        if env.get(&name).is_none() {
            env.set(name, value);
        }
    }
    Ok(env.list)
}

/// `$(VAR)` references in `text` replaced; unknown names stay as they are, and `$$` is one dollar sign.
pub(crate) fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// A path with `$(VAR)` replaced, all of which must exist.
pub(crate) fn expand_strictly<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    let missing = std::cell::Cell::new(false);
    let out = expand(text, |name| {
        let value = lookup(name);
        missing.set(missing.get() || value.is_none());
        value
    });
    if missing.get() { Err(format!("missing value for {text:?}")) } else { Ok(out) }
}

/// `command` or `args` with the environment's variables replaced.
pub(crate) fn expand_all(texts: &[String], env: &[(String, String)]) -> Vec<String> {
    texts.iter().map(|text| expand(text, |name| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()))).collect()
}

/// The ConfigMaps and Secrets that the environment of the pod's containers needs.
pub(crate) fn references(pod: &Pod) -> BTreeSet<Reference> {
    let mut out = BTreeSet::new();
    let mut add = |kind, name: &str| {
        out.insert(Reference { kind, namespace: pod.namespace.clone(), name: name.to_owned() });
    };
    for container in pod.containers() {
        for source in &container.env_from {
            source.config_map_ref.iter().for_each(|r| add(DataKind::ConfigMap, &r.name));
            source.secret_ref.iter().for_each(|r| add(DataKind::Secret, &r.name));
        }
        for source in container.env.iter().filter_map(|var| var.value_from.as_ref()) {
            source.config_map_key_ref.iter().for_each(|r| add(DataKind::ConfigMap, &r.name));
            source.secret_key_ref.iter().for_each(|r| add(DataKind::Secret, &r.name));
        }
    }
    out
}

impl Resolver<'_> {
    /// The object of this kind and name in the pod's namespace.
    pub fn reference(&self, kind: DataKind, name: &str) -> Reference {
        Reference { kind, namespace: self.pod.namespace.clone(), name: name.to_owned() }
    }

    fn value_from(&self, source: &EnvSource, container: &Container) -> Result<Option<String>, Unresolved> {
        if let Some(field) = &source.field_ref {
            return self.field(&field.field_path).map(Some);
        }
        if let Some(resource) = &source.resource_field_ref {
            return self.resource(resource, Some(container)).map(Some);
        }
        match (&source.config_map_key_ref, &source.secret_key_ref) {
            (Some(key), _) => self.key(DataKind::ConfigMap, key),
            (None, Some(key)) => self.key(DataKind::Secret, key),
            (None, None) => Ok(Some(String::new())),
        }
    }

    fn key(&self, kind: DataKind, key: &KeyRef) -> Result<Option<String>, Unresolved> {
        match self.node.lookup(&self.reference(kind, &key.name)) {
            Lookup::Unknown => Err(Unresolved::Wait),
            Lookup::Missing if key.optional => Ok(None),
            Lookup::Missing => Err(not_found(kind, &key.name)),
            Lookup::Data(data) => match data.get(&key.key) {
                Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
                None if key.optional => Ok(None),
                None => Err(Unresolved::Missing(format!(
                    "couldn't find key {} in {} {}/{}",
                    key.key,
                    if kind == DataKind::ConfigMap { "ConfigMap" } else { "Secret" },
                    self.pod.namespace,
                    key.name
                ))),
            },
        }
    }

    /// The text of a `fieldRef`.
    pub fn field(&self, path: &str) -> Result<String, Unresolved> {
        let pod = self.pod;
        let subscript = |field: &str| path.strip_prefix(field)?.strip_prefix("['")?.strip_suffix("']");
        let formatted =
            |map: &BTreeMap<String, String>| map.iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join("\n");
        if let Some(key) = subscript("metadata.labels") {
            return Ok(pod.labels.get(key).cloned().unwrap_or_default());
        }
        if let Some(key) = subscript("metadata.annotations") {
            return Ok(pod.annotations.get(key).cloned().unwrap_or_default());
        }
        Ok(match path {
            "metadata.name" => pod.name.clone(),
            "metadata.namespace" => pod.namespace.clone(),
            "metadata.uid" => pod.uid.to_string(),
            "metadata.labels" => formatted(&pod.labels),
            "metadata.annotations" => formatted(&pod.annotations),
            "spec.nodeName" => self.config.node_name.clone(),
            "spec.serviceAccountName" => pod.spec.service_account_name.clone(),
            "status.hostIP" => self.config.addresses.first().cloned().unwrap_or_default(),
            "status.hostIPs" => self.config.addresses.join(","),
            "status.podIP" => self.ips.first().cloned().unwrap_or_default(),
            "status.podIPs" => self.ips.join(","),
            _ => return Err(Unresolved::Missing(format!("unsupported fieldPath: {path}"))),
        })
    }

    /// The text of a `resourceFieldRef`: the amount in units of the divisor, rounded up. A limit that is not set is what the
    /// node has.
    pub fn resource(&self, wanted: &ResourceFieldRef, own: Option<&Container>) -> Result<String, Unresolved> {
        let container = if wanted.container_name.is_empty() {
            own
        } else {
            self.pod.containers().find(|c| *c.name == *wanted.container_name)
        };
        let Some(container) = container else {
            return Err(Unresolved::Missing(format!("container {} not found", wanted.container_name)));
        };
        let (list, name) = wanted.resource.split_once('.').unwrap_or(("", ""));
        let amount = match list {
            "limits" => container.resources.limits.get(name).or_else(|| self.config.allocatable.get(name)),
            "requests" => container.resources.requests.get(name),
            _ => return Err(Unresolved::Missing(format!("unsupported container resource : {}", wanted.resource))),
        };
        let milli = amount.map_or(0, Quantity::milli_value);
        let divisor = Quantity::from_json(&wanted.divisor).map_or(1_000, |d| d.milli_value()).max(1);
        let divisor = if wanted.divisor.as_str() == Some("0") { 1_000 } else { divisor };
        Ok((milli.saturating_add(divisor - 1) / divisor).to_string())
    }
}

/// Kubernetes' words for a ConfigMap or Secret that is not there.
pub(crate) fn not_found(kind: DataKind, name: &str) -> Unresolved {
    let kind = if kind == DataKind::ConfigMap { "configmap" } else { "secret" };
    Unresolved::Missing(format!("{kind} {name:?} not found"))
}

/// The variables that tell of Services, in the form of docker links.
fn service_variables(r: &Resolver<'_>) -> BTreeMap<String, String> {
    let links = r.pod.spec.enable_service_links.unwrap_or(true);
    let mut out = BTreeMap::new();
    let is_master = |s: &ServiceEnv| s.namespace == "default" && s.name == "kubernetes";
    for service in r.node.services.iter().filter(|s| is_master(s) || (links && s.namespace == r.pod.namespace)) {
        let Some(first) = service.ports.first() else { continue };
        let (upper, ip) = (service.name.to_uppercase().replace('-', "_"), &service.cluster_ip);
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
        out.insert(format!("{upper}_SERVICE_HOST"), ip.clone());
        out.insert(format!("{upper}_SERVICE_PORT"), first.port.to_string());
        let protocol = first.protocol.to_lowercase();
        out.insert(format!("{upper}_PORT"), format!("{protocol}://{host}:{}", first.port));
        for port in &service.ports {
            if !port.name.is_empty() {
                let name = port.name.to_uppercase().replace('-', "_");
                out.insert(format!("{upper}_SERVICE_PORT_{name}"), port.port.to_string());
            }
            let protocol = port.protocol.to_lowercase();
            let prefix = format!("{upper}_PORT_{}_{}", port.port, port.protocol);
            out.insert(prefix.clone(), format!("{protocol}://{host}:{}", port.port));
            out.insert(format!("{prefix}_PROTO"), protocol);
            out.insert(format!("{prefix}_PORT"), port.port.to_string());
            out.insert(format!("{prefix}_ADDR"), ip.clone());
        }
    }
    out
}

/// Variables in the order of their first mention, each once.
#[derive(Default)]
struct Env {
    list: Vec<(String, String)>,
}

impl Env {
    fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn set(&mut self, name: String, value: String) {
        match self.list.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.list.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded_and_unknown_ones_left() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$(A)-$(B)", "1-$(B)"),
            ("$$(A)", "$(A)"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("$($(A))", "$($(A))"),
        ] {
            assert_eq!(expand(text, |name| (name == "A").then_some("1")), expected, "{text}");
        }
    }
}
