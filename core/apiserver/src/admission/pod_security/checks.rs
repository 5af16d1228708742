//! The Pod Security Standards: each check with the versions of the standards in which it is made.
//!
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use std::collections::BTreeSet;

use object::Value;
use object::value::{at, bool_at, i64_at, list_at, str_at};

use super::Level;

/// One check: its name in Kubernetes, the minor version since which it is made, the check that it stands in for, and what it says.
type Check = (&'static str, u32, &'static str, fn(&Pod<'_>) -> Option<String>);

/// In the order in which Kubernetes reports them.
const BASELINE: [Check; 12] = [
    ("appArmorProfile", 0, "", |pod| pod.app_armor()),
    ("capabilities_baseline", 0, "", |pod| pod.added_capabilities()),
    ("hostNamespaces", 0, "", |pod| pod.host_namespaces()),
    ("hostPathVolumes", 0, "", |pod| pod.host_path()),
    ("hostPorts", 0, "", |pod| pod.host_ports()),
    ("hostProbesAndhostLifecycle", 34, "", |pod| pod.probe_hosts()),
    ("privileged", 0, "", |pod| pod.privileged()),
    ("procMount", 0, "", |pod| pod.proc_mount_unless_own_users()),
    ("seLinuxOptions", 0, "", |pod| pod.se_linux()),
    ("seccompProfile_baseline", 0, "", |pod| pod.unconfined()),
    ("sysctls", 0, "", |pod| pod.sysctls()),
    ("windowsHostProcess", 0, "", |pod| pod.host_process()),
];

const RESTRICTED: [Check; 7] = [
    ("allowPrivilegeEscalation", 8, "", |pod| pod.escalation()),
    ("capabilities_restricted", 22, "capabilities_baseline", |pod| pod.dropped_capabilities()),
    ("procMount_restricted", 35, "procMount", |pod| pod.proc_mount()),
    ("restrictedVolumes", 0, "hostPathVolumes", |pod| pod.volumes()),
    ("runAsNonRoot", 0, "", |pod| pod.non_root()),
    ("runAsUser", 23, "", |pod| pod.root_user()),
    ("seccompProfile_restricted", 19, "seccompProfile_baseline", |pod| pod.seccomp()),
];

/// Everything about a pod that a level forbids in a minor version of the standards, in the order in which Kubernetes reports it.
pub(super) fn violations(level: Level, version: u32, metadata: &Value, spec: &Value) -> Vec<String> {
    if level == Level::Privileged {
        return Vec::new();
    }
    let pod = Pod { metadata, spec, version };
    let current = |check: &&Check| check.1 <= version;
    let restricted: Vec<&Check> = RESTRICTED.iter().filter(|_| level == Level::Restricted).filter(current).collect();
    let stands = |check: &&Check| !restricted.iter().any(|(_, _, other, _)| *other == check.0);
    let baseline = BASELINE.iter().filter(current).filter(stands);
    baseline.chain(restricted.iter().copied()).filter_map(|(_, _, _, check)| check(&pod)).collect()
}

/// A pod under judgement.
struct Pod<'a> {
    metadata: &'a Value,
    spec: &'a Value,
    /// The minor version of the standards.
    version: u32,
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

/// Kernel settings that stay within the pod, and since which version they are known to.
const SAFE_SYSCTLS: [(u32, &str); 12] = [
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
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

    /// Whether what only Linux has is not asked for.
    fn is_windows(&self) -> bool {
        self.version >= 25 && str_at(self.spec, &["os", "name"]) == "windows"
    }

    /// Whether users in the pod are nobody outside of it.
    fn has_own_users(&self) -> bool {
        self.version >= 35 && at(self.spec, &["hostUsers"]) == Some(&Value::Bool(false))
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

    fn probe_hosts(&self) -> Option<String> {
        let hosts = |container: &Value| -> Vec<String> {
            let probes = ["livenessProbe", "readinessProbe", "startupProbe"].iter().map(|probe| vec![*probe]);
            let hooks = ["postStart", "preStop"].iter().map(|hook| vec!["lifecycle", *hook]);
            let actions = probes.chain(hooks).filter_map(|path| at(container, &path));
            let said = actions.flat_map(|action| ["httpGet", "tcpSocket"].map(|kind| str_at(action, &[kind, "host"]).to_owned()));
            said.filter(|host| !host.is_empty()).collect()
        };
        let bad: BTreeSet<String> = self.those(|c| !hosts(c).is_empty()).into_iter().collect();
        let all: BTreeSet<String> = self.containers().flat_map(hosts).collect();
        let (bad, all): (Vec<String>, Vec<String>) = (bad.into_iter().collect(), all.into_iter().collect());
        let uses = if bad.len() == 1 { "uses" } else { "use" };
        (!bad.is_empty()).then(|| {
            let (bad, hosts) = (named("container", &bad), named("probe or lifecycle host", &all));
            format!("probe or lifecycle host ({bad} {uses} {hosts})")
        })
    }

    fn proc_mount_unless_own_users(&self) -> Option<String> {
        if self.has_own_users() { None } else { self.proc_mount() }
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
        let known = |of: &str| TYPES.contains(&of) && (of != "container_engine_t" || self.version >= 31);
        let wrong =
            |o: &Value| !known(str_at(o, &["type"])) || !str_at(o, &["user"]).is_empty() || !str_at(o, &["role"]).is_empty();
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
        let types: BTreeSet<String> = all.iter().map(|o| str_at(o, &["type"]).to_owned()).filter(|t| !known(t)).collect();
        let types: Vec<String> = types.into_iter().collect();
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

    fn seccomp_annotations(&self) -> Option<String> {
        let annotations = object::meta::string_map(at(self.metadata, &["annotations"]));
        let mut keys = vec!["seccomp.security.alpha.kubernetes.io/pod".to_owned()];
        keys.extend(self.those(|_| true).iter().map(|name| format!("container.seccomp.security.alpha.kubernetes.io/{name}")));
        let wrong = |text: &str| !matches!(text, "runtime/default" | "docker/default") && !text.starts_with("localhost/");
        let said = keys.iter().filter_map(|key| annotations.get(key).map(|text| (key, text)));
        let bad: BTreeSet<String> = said.filter(|(_, text)| wrong(text)).map(|(key, text)| format!("{key}={text:?}")).collect();
        let word = if bad.len() == 1 { "annotation" } else { "annotations" };
        let list = bad.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        (!bad.is_empty()).then(|| format!("seccompProfile (forbidden {word} {list})"))
    }

    fn unconfined(&self) -> Option<String> {
        if self.version < 19 {
            return self.seccomp_annotations();
        }
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
        let bad: Vec<&str> =
            names.filter(|name| !SAFE_SYSCTLS.iter().any(|(since, safe)| safe == name && *since <= self.version)).collect();
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
        if self.has_own_users() {
            return None;
        }
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
        (!setters.is_empty() && !self.has_own_users()).then(|| format!("runAsUser=0 ({setters} must not set runAsUser=0)"))
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
