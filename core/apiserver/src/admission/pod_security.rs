//! PodSecurity: the Pod Security Standards, enforced, warned of or audited as a namespace's labels say.
//!
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use object::value::{at, bool_at, i64_at, list_at, str_at};
use object::{ApiError, Cause, GroupResource, GroupVersionKind, Result, Value, json};
use store::Key;

use super::{Attributes, Operation};
use crate::server::ApiServer;

mod existing;

const PREFIX: &str = "pod-security.kubernetes.io/";

/// The standards, from everything to little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
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
    let key = Key::new(&GroupResource::new("", "namespaces"), "", &attributes.target.namespace);
    let Some(namespace) = api.store.get(&key).map(|namespace| namespace.value()) else { return Ok(()) };
    let (enforced, version) = policy(&namespace, "enforce");
    if is_pod {
        let found = violations(enforced, metadata, spec);
        if !found.is_empty() {
            let why = format!("violates PodSecurity \"{}:{version}\": {}", enforced.name(), found.join(", "));
            return Err(attributes.forbidden(&why));
        }
    }
    // Where nothing is said of warnings, what is enforced is warned of.
    let says_warn =
        object::meta::string_map(at(&namespace, &["metadata", "labels"])).contains_key("pod-security.kubernetes.io/warn");
    let (warned, version) = if says_warn { policy(&namespace, "warn") } else { (enforced, version) };
    let found = violations(warned, metadata, spec);
    if !found.is_empty() {
        let text = format!("would violate PodSecurity \"{}:{version}\": {}", warned.name(), found.join(", "));
        api.warnings.push(text);
    }
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

/// What a namespace's labels say of one mode. What cannot be read is the strictest.
fn policy(namespace: &Value, mode: &str) -> (Level, String) {
    let label = |key: String| object::meta::string_map(at(namespace, &["metadata", "labels"])).get(&key).cloned();
    let level = label(format!("{PREFIX}{mode}"));
    let level = level.map_or(Level::Privileged, |text| Level::parse(&text).unwrap_or(Level::Restricted));
    let version = label(format!("{PREFIX}{mode}-version")).unwrap_or_else(|| "latest".to_owned());
    (level, version)
}

/// Labels that nobody could act on are refused where they are set.
fn namespace_labels(attributes: &Attributes<'_>, namespace: &Value) -> Result<()> {
    let labels = object::meta::string_map(at(namespace, &["metadata", "labels"]));
    let old = attributes.old.map(|old| object::meta::string_map(at(old, &["metadata", "labels"]))).unwrap_or_default();
    let mut causes = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        for (key, is_version) in [(format!("{PREFIX}{mode}"), false), (format!("{PREFIX}{mode}-version"), true)] {
            let Some(text) = labels.get(&key).filter(|text| old.get(&key) != Some(text)) else { continue };
            let fine = if is_version { is_version_label(text) } else { Level::parse(text).is_some() };
            if !fine {
                let why =
                    if is_version { "must be \"latest\" or \"v1.x\"" } else { "must be one of privileged, baseline, restricted" };
                causes.push(Cause::invalid(format!("metadata.labels[{key}]"), &json!(text), why));
            }
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&GroupVersionKind::new("", "v1", "Namespace"), attributes.name, causes))
}

fn is_version_label(text: &str) -> bool {
    let minor = text.strip_prefix("v1.");
    text == "latest"
        || minor.is_some_and(|minor| {
            !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'))
        })
}

/// Everything about a pod that a level forbids, in the order in which Kubernetes reports it.
fn violations(level: Level, metadata: &Value, spec: &Value) -> Vec<String> {
    let pod = Pod { metadata, spec };
    let mut found: Vec<Option<String>> = Vec::new();
    if level >= Level::Baseline {
        found.extend([pod.app_armor(), (level == Level::Baseline).then(|| pod.added_capabilities()).flatten()]);
        found.extend([pod.host_namespaces(), pod.host_path(), pod.host_ports(), pod.privileged(), pod.proc_mount()]);
        found.extend([
            pod.se_linux(),
            (level == Level::Baseline).then(|| pod.unconfined()).flatten(),
            pod.sysctls(),
            pod.host_process(),
        ]);
    }
    if level == Level::Restricted {
        found.extend([
            pod.escalation(),
            pod.dropped_capabilities(),
            pod.volumes(),
            pod.non_root(),
            pod.root_user(),
            pod.seccomp(),
        ]);
    }
    found.into_iter().flatten().collect()
}

/// A pod under judgement.
struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
}

/// Capabilities that containers have anyway.
const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Kernel settings that stay within the pod.
const SAFE_SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
];

/// Kinds of volumes that touch nothing outside the pod's own.
const RESTRICTED_VOLUMES: [&str; 9] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"];

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// `container "a"`, `containers "a", "b"`.
fn named(what: &str, names: &[String]) -> String {
    format!("{what}{} {}", if names.len() == 1 { "" } else { "s" }, quoted(names))
}

impl<'a> Pod<'a> {
    fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |list| list_at(spec, &[list]))
    }

    /// Names of the containers for which something holds.
    fn those(&self, holds: impl Fn(&Value) -> bool) -> Vec<String> {
        self.containers().filter(|c| holds(c)).map(|c| str_at(c, &["name"]).to_owned()).collect()
    }

    fn is_windows(&self) -> bool {
        str_at(self.spec, &["os", "name"]) == "windows"
    }

    fn app_armor(&self) -> Option<String> {
        let wrong = |context: Option<&Value>| {
            let kind = context.map_or("", |c| str_at(c, &["appArmorProfile", "type"]));
            !matches!(kind, "" | "RuntimeDefault" | "Localhost")
        };
        let mut said = Vec::new();
        if wrong(at(self.spec, &["securityContext"])) {
            said.push(format!(
                "pod must not set AppArmor profile type to {:?}",
                str_at(self.spec, &["securityContext", "appArmorProfile", "type"])
            ));
        }
        let bad = self.those(|c| wrong(at(c, &["securityContext"])));
        if !bad.is_empty() {
            said.push(format!("{} must not set AppArmor profile type to \"Unconfined\"", named("container", &bad)));
        }
        let annotations = object::meta::string_map(at(self.metadata, &["annotations"]));
        let bad: Vec<String> = annotations
            .iter()
            .filter(|(key, text)| {
                key.starts_with("container.apparmor.security.beta.kubernetes.io/")
                    && !text.is_empty()
                    && *text != "runtime/default"
                    && !text.starts_with("localhost/")
            })
            .map(|(key, text)| format!("{key}={text:?}"))
            .collect();
        if !bad.is_empty() {
            said.push(format!("annotation{} {}", if bad.len() == 1 { "" } else { "s" }, bad.join(", ")));
        }
        (!said.is_empty())
            .then(|| format!("forbidden AppArmor profile{} ({})", if said.len() == 1 { "" } else { "s" }, said.join("; ")))
    }

    fn added(&self, allowed: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
        let forbidden = |container: &Value| -> Vec<String> {
            let added = list_at(container, &["securityContext", "capabilities", "add"]).iter().filter_map(Value::as_str);
            added.filter(|name| !allowed.contains(name)).map(str::to_owned).collect()
        };
        let bad = self.those(|c| !forbidden(c).is_empty());
        let mut names: Vec<String> = self.containers().flat_map(forbidden).collect();
        names.sort();
        names.dedup();
        (!bad.is_empty()).then_some((bad, names))
    }

    fn added_capabilities(&self) -> Option<String> {
        let (bad, names) = self.added(&DEFAULT_CAPABILITIES)?;
        let bad = named("container", &bad);
        Some(format!("non-default capabilities ({bad} must not include {} in securityContext.capabilities.add)", quoted(&names)))
    }

    fn host_namespaces(&self) -> Option<String> {
        let on: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
            .iter()
            .filter(|key| bool_at(self.spec, &[key]))
            .map(|key| format!("{key}=true"))
            .collect();
        (!on.is_empty()).then(|| format!("host namespaces ({})", on.join(", ")))
    }

    fn volumes_that(&self, holds: impl Fn(&Value) -> bool) -> Vec<String> {
        list_at(self.spec, &["volumes"]).iter().filter(|v| holds(v)).map(|v| str_at(v, &["name"]).to_owned()).collect()
    }

    fn host_path(&self) -> Option<String> {
        let bad = self.volumes_that(|volume| at(volume, &["hostPath"]).is_some());
        (!bad.is_empty()).then(|| format!("hostPath volumes ({})", named("volume", &bad)))
    }

    fn host_ports(&self) -> Option<String> {
        let ports = |c: &Value| -> Vec<i64> {
            list_at(c, &["ports"]).iter().filter_map(|port| i64_at(port, &["hostPort"])).filter(|port| *port != 0).collect()
        };
        let bad = self.those(|c| !ports(c).is_empty());
        let mut all: Vec<i64> = self.containers().flat_map(ports).collect();
        all.sort_unstable();
        all.dedup();
        let word = if all.len() == 1 { "hostPort" } else { "hostPorts" };
        let uses = if bad.len() == 1 { "uses" } else { "use" };
        let list = all.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        (!bad.is_empty()).then(|| format!("{word} ({} {uses} {word} {list})", named("container", &bad)))
    }

    fn privileged(&self) -> Option<String> {
        let bad = self.those(|c| bool_at(c, &["securityContext", "privileged"]));
        (!bad.is_empty())
            .then(|| format!("privileged ({} must not set securityContext.privileged=true)", named("container", &bad)))
    }

    fn proc_mount(&self) -> Option<String> {
        let kind = |c: &Value| str_at(c, &["securityContext", "procMount"]).to_owned();
        let bad = self.those(|c| !matches!(kind(c).as_str(), "" | "Default"));
        let mut kinds: Vec<String> = self.containers().map(kind).filter(|k| !matches!(k.as_str(), "" | "Default")).collect();
        kinds.sort();
        kinds.dedup();
        let bad_names = named("container", &bad);
        (!bad.is_empty()).then(|| format!("procMount ({bad_names} must not set securityContext.procMount to {})", quoted(&kinds)))
    }

    fn se_linux(&self) -> Option<String> {
        const TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
        let options = |holder: &Value| at(holder, &["securityContext", "seLinuxOptions"]).cloned().unwrap_or_default();
        let wrong = |o: &Value| {
            !TYPES.contains(&str_at(o, &["type"])) || !str_at(o, &["user"]).is_empty() || !str_at(o, &["role"]).is_empty()
        };
        let mut setters = Vec::new();
        if wrong(&options(self.spec)) {
            setters.push("pod".to_owned());
        }
        let bad = self.those(|c| wrong(&options(c)));
        if !bad.is_empty() {
            setters.push(named("container", &bad));
        }
        if setters.is_empty() {
            return None;
        }
        let all: Vec<Value> = std::iter::once(options(self.spec)).chain(self.containers().map(options)).collect();
        let mut said = Vec::new();
        let types: Vec<String> =
            all.iter().map(|o| str_at(o, &["type"]).to_owned()).filter(|t| !TYPES.contains(&t.as_str())).collect();
        if !types.is_empty() {
            said.push(format!("type{} {}", if types.len() == 1 { "" } else { "s" }, quoted(&types)));
        }
        for key in ["user", "role"] {
            if all.iter().any(|o| !str_at(o, &[key]).is_empty()) {
                said.push(format!("{key} may not be set"));
            }
        }
        let setters = setters.join(" and ");
        Some(format!("seLinuxOptions ({setters} set forbidden securityContext.seLinuxOptions: {})", said.join("; ")))
    }

    fn unconfined(&self) -> Option<String> {
        const PATH: [&str; 3] = ["securityContext", "seccompProfile", "type"];
        let wrong = |holder: &Value| !matches!(str_at(holder, &PATH), "" | "RuntimeDefault" | "Localhost");
        let mut setters = Vec::new();
        if wrong(self.spec) {
            setters.push("pod".to_owned());
        }
        let bad = self.those(wrong);
        if !bad.is_empty() {
            setters.push(named("container", &bad));
        }
        let setters = setters.join(" and ");
        (!setters.is_empty())
            .then(|| format!("seccompProfile ({setters} must not set securityContext.seccompProfile.type to \"Unconfined\")"))
    }

    fn sysctls(&self) -> Option<String> {
        let names = list_at(self.spec, &["securityContext", "sysctls"]).iter().map(|s| str_at(s, &["name"]));
        let bad: Vec<&str> = names.filter(|name| !SAFE_SYSCTLS.contains(name)).collect();
        (!bad.is_empty()).then(|| format!("forbidden sysctls ({})", bad.join(", ")))
    }

    fn host_process(&self) -> Option<String> {
        const PATH: [&str; 3] = ["securityContext", "windowsOptions", "hostProcess"];
        let mut setters = Vec::new();
        if bool_at(self.spec, &PATH) {
            setters.push("pod".to_owned());
        }
        let bad = self.those(|c| bool_at(c, &PATH));
        if !bad.is_empty() {
            setters.push(named("container", &bad));
        }
        let setters = setters.join(" and ");
        (!setters.is_empty())
            .then(|| format!("hostProcess ({setters} must not set securityContext.windowsOptions.hostProcess=true)"))
    }

    fn escalation(&self) -> Option<String> {
        let bad = self.those(|c| at(c, &["securityContext", "allowPrivilegeEscalation"]) != Some(&Value::Bool(false)));
        (!bad.is_empty() && !self.is_windows()).then(|| {
            let bad = named("container", &bad);
            format!("allowPrivilegeEscalation != false ({bad} must set securityContext.allowPrivilegeEscalation=false)")
        })
    }

    fn dropped_capabilities(&self) -> Option<String> {
        if self.is_windows() {
            return None;
        }
        let mut said = Vec::new();
        let drops = |c: &Value| list_at(c, &["securityContext", "capabilities", "drop"]).iter().any(|name| name == "ALL");
        let bad = self.those(|c| !drops(c));
        if !bad.is_empty() {
            said.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named("container", &bad)));
        }
        if let Some((bad, names)) = self.added(&["NET_BIND_SERVICE"]) {
            let bad = named("container", &bad);
            said.push(format!("{bad} must not include {} in securityContext.capabilities.add", quoted(&names)));
        }
        (!said.is_empty()).then(|| format!("unrestricted capabilities ({})", said.join("; ")))
    }

    fn volumes(&self) -> Option<String> {
        let kind = |volume: &Value| -> Option<String> { volume.as_object()?.keys().find(|key| *key != "name").cloned() };
        let restricted = |volume: &Value| kind(volume).is_some_and(|kind| !RESTRICTED_VOLUMES.contains(&kind.as_str()));
        let bad = self.volumes_that(restricted);
        let mut kinds: Vec<String> = list_at(self.spec, &["volumes"]).iter().filter(|v| restricted(v)).filter_map(kind).collect();
        kinds.sort();
        kinds.dedup();
        let uses = if bad.len() == 1 { "uses" } else { "use" };
        let types = if kinds.len() == 1 { "type" } else { "types" };
        (!bad.is_empty()).then(|| {
            let bad = named("volume", &bad);
            format!("restricted volume types ({bad} {uses} restricted volume {types} {})", quoted(&kinds))
        })
    }

    fn non_root(&self) -> Option<String> {
        const PATH: [&str; 2] = ["securityContext", "runAsNonRoot"];
        let mut setters = Vec::new();
        let pod = at(self.spec, &PATH).and_then(Value::as_bool);
        if pod == Some(false) {
            setters.push("pod".to_owned());
        }
        let explicit = self.those(|c| at(c, &PATH) == Some(&Value::Bool(false)));
        let implicit = self.those(|c| at(c, &PATH).is_none());
        if !explicit.is_empty() {
            setters.push(named("container", &explicit));
        }
        if !setters.is_empty() {
            return Some(format!(
                "runAsNonRoot != true ({} must not set securityContext.runAsNonRoot=false)",
                setters.join(" and ")
            ));
        }
        (pod != Some(true) && !implicit.is_empty()).then(|| {
            let implicit = named("container", &implicit);
            format!("runAsNonRoot != true (pod or {implicit} must set securityContext.runAsNonRoot=true)")
        })
    }

    fn root_user(&self) -> Option<String> {
        let root = |holder: &Value| i64_at(holder, &["securityContext", "runAsUser"]) == Some(0);
        let mut setters = Vec::new();
        if root(self.spec) {
            setters.push("pod".to_owned());
        }
        let bad = self.those(root);
        if !bad.is_empty() {
            setters.push(named("container", &bad));
        }
        let setters = setters.join(" and ");
        (!setters.is_empty() && !self.is_windows()).then(|| format!("runAsUser=0 ({setters} must not set runAsUser=0)"))
    }

    fn seccomp(&self) -> Option<String> {
        const PATH: [&str; 3] = ["securityContext", "seccompProfile", "type"];
        let kind = |holder: &Value| str_at(holder, &PATH).to_owned();
        let wrong = |kind: &str| !matches!(kind, "" | "RuntimeDefault" | "Localhost");
        if self.is_windows() {
            return None;
        }
        let mut setters = Vec::new();
        if wrong(&kind(self.spec)) {
            setters.push("pod".to_owned());
        }
        let explicit = self.those(|c| wrong(&kind(c)));
        if !explicit.is_empty() {
            setters.push(named("container", &explicit));
        }
        if !setters.is_empty() {
            let setters = setters.join(" and ");
            return Some(format!(
                "seccompProfile ({setters} must not set securityContext.seccompProfile.type to \"Unconfined\")"
            ));
        }
        let implicit = self.those(|c| kind(c).is_empty());
        (kind(self.spec).is_empty() && !implicit.is_empty()).then(|| {
            let implicit = named("container", &implicit);
            format!("seccompProfile (pod or {implicit} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")")
        })
    }
}
