//! Security contexts of pods and containers, and what they may not say on one system or the other.

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field, windows};
use crate::internal;

fn yes(value: &Value) -> bool {
    value == &Value::Bool(true)
}

/// `validatePodSpecSecurityContext`.
pub(super) fn pod(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let (context, path) = (field(spec, "securityContext"), path.child("securityContext"));
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        e.id(&path.child(key), field(context, key));
    }
    let groups = path.child("supplementalGroups");
    for (i, group) in items(field(context, "supplementalGroups")).iter().enumerate() {
        e.id(&groups.index(i), group);
    }
    let shared = field(spec, "shareProcessNamespace");
    if yes(shared) && yes(field(spec, "hostPID")) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        e.invalid(&path.child("shareProcessNamespace"), shared, detail);
    }
    sysctls(e, spec, field(context, "sysctls"), &path.child("sysctls"));
    let mut choice = |key: &str, known: &[&str]| e.one_of_if_any(&path.child(key), field(context, key), known);
    choice("fsGroupChangePolicy", &["Always", "OnRootMismatch"]);
    profiles(e, context, &path);
    e.one_of_if_any(&path.child("supplementalGroupsPolicy"), field(context, "supplementalGroupsPolicy"), &["Merge", "Strict"]);
    let policy = field(context, "seLinuxChangePolicy");
    e.one_of_if_any(&path.child("seLinuxChangePolicy"), policy, &["MountOption", "Recursive"]);
}

/// What pods and containers can both say, in the order in which Kubernetes looks at it.
fn profiles(e: &mut Errors, context: &Value, path: &Path<'_>) {
    seccomp(e, field(context, "seccompProfile"), &path.child("seccompProfile"));
    windows::options(e, field(context, "windowsOptions"), &path.child("windowsOptions"));
    app_armor(e, field(context, "appArmorProfile"), &path.child("appArmorProfile"));
}

/// Kernel parameters: dots and slashes part them into words.
fn sysctls(e: &mut Errors, spec: &Value, sysctls: &Value, path: &Path<'_>) {
    const SHAPE: &str = "must have at most 253 characters and match regex \
        ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let word =
        |word: &str| word.starts_with(outer) && word.ends_with(outer) && word.chars().all(|c| outer(c) || matches!(c, '-' | '_'));
    let mut seen = std::collections::BTreeSet::new();
    for (i, sysctl) in items(sysctls).iter().enumerate() {
        let at = path.index(i).child("name").to_string();
        let at = Path::root(&at);
        let name = text(field(sysctl, "name"));
        if name.is_empty() {
            e.required(&at, "");
        } else if name.len() > 253 || !name.split(['.', '/']).all(word) {
            e.invalid(&at, &name.into(), SHAPE);
        } else if !seen.insert(name) {
            e.duplicate(&at, &name.into());
        }
        let plain = name.replace('/', ".");
        let of_ipc = plain == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| plain.starts_with(p));
        if yes(field(spec, "hostNetwork")) && plain.starts_with("net.") {
            e.invalid(&at, &name.into(), "may not be specified when 'hostNetwork' is true");
        } else if yes(field(spec, "hostIPC")) && of_ipc {
            e.invalid(&at, &name.into(), "may not be specified when 'hostIPC' is true");
        }
    }
}

/// `ValidateSecurityContext`.
pub(super) fn container(e: &mut Errors, context: &Value, host_users: bool, path: &Path<'_>) {
    e.id(&path.child("runAsUser"), field(context, "runAsUser"));
    e.id(&path.child("runAsGroup"), field(context, "runAsGroup"));
    let proc_mount = field(context, "procMount");
    e.one_of_if_any(&path.child("procMount"), proc_mount, &["Default", "Unmasked"]);
    if host_users && text(proc_mount) == "Unmasked" {
        e.invalid(&path.child("procMount"), proc_mount, "`hostUsers` must be false to use `Unmasked`");
    }
    seccomp(e, field(context, "seccompProfile"), &path.child("seccompProfile"));
    if field(context, "allowPrivilegeEscalation") == &Value::Bool(false) {
        let added = items(deep(context, &["capabilities", "add"])).iter().filter(|c| text(c) == "CAP_SYS_ADMIN").count();
        let reasons = std::iter::repeat_n("`privileged` to true", usize::from(yes(field(context, "privileged"))))
            .chain(std::iter::repeat_n("`capabilities.Add` CAP_SYS_ADMIN", added));
        for reason in reasons {
            let detail = format!("cannot set `allowPrivilegeEscalation` to false and {reason}");
            e.invalid_shown(path, &internal::compact("SecurityContext", context), &detail);
        }
    }
    windows::options(e, field(context, "windowsOptions"), &path.child("windowsOptions"));
    app_armor(e, field(context, "appArmorProfile"), &path.child("appArmorProfile"));
}

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn seccomp(e: &mut Errors, profile: &Value, path: &Path<'_>) {
    if profile.is_null() {
        return;
    }
    let (kind, local) = (field(profile, "type"), field(profile, "localhostProfile"));
    let at = path.child("localhostProfile");
    match text(kind) {
        "" => e.required(&path.child("type"), "type is required when seccompProfile is set"),
        _ => e.one_of_if_any(&path.child("type"), kind, &PROFILES),
    }
    match (text(kind) == "Localhost", local.as_str()) {
        (true, None) => e.required(&at, "must be set when seccomp type is Localhost"),
        (true, Some(target)) => super::volume::local_path(e, target, &at),
        (false, Some(_)) => {
            e.invalid_shown(&at, &internal::compact("Profile", profile), "can only be set when seccomp type is Localhost");
        }
        (false, None) => {}
    }
}

fn app_armor(e: &mut Errors, profile: &Value, path: &Path<'_>) {
    const LONGEST: usize = 4095;
    if profile.is_null() {
        return;
    }
    let (kind, local) = (field(profile, "type"), field(profile, "localhostProfile"));
    let at = path.child("localhostProfile");
    match (text(kind), local.as_str()) {
        ("Localhost", None | Some("")) => e.required(&at, "must be set when AppArmor type is Localhost"),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                e.invalid(&at, local, "must not be padded with whitespace");
            }
            if name.len() > LONGEST {
                e.too_long(&at, LONGEST);
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(_)) => {
            e.invalid(&at, local, "can only be set when AppArmor type is Localhost");
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => e.required(&path.child("type"), "type is required when appArmorProfile is set"),
        _ => e.unsupported(&path.child("type"), kind, &PROFILES),
    }
}

/// `validateHostUsers`: a pod with users of its own shares nothing else with its host.
pub(super) fn host_users(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    if field(spec, "hostUsers") != &Value::Bool(false) {
        return;
    }
    // Two of the paths are written in capitals.
    for (key, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if yes(field(spec, key)) {
            e.forbidden(&path.child(shown), "when `pod.Spec.HostUsers` is false");
        }
    }
}

/// Annotations that Kubernetes gives a meaning (`ValidatePodSpecificAnnotations`).
pub(super) fn annotations(e: &mut Errors, annotations: &Value, spec: &Value, path: &Path<'_>) {
    const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    const MIRROR: &str = "kubernetes.io/config.mirror";
    let mirror = field(annotations, MIRROR);
    if !mirror.is_null() && text(field(spec, "nodeName")).is_empty() {
        e.invalid(&path.key(MIRROR), mirror, "must set spec.nodeName if mirror pod annotation is set");
    }
    let cost = field(annotations, COST);
    let plain = |text: &str| text == "0" || text.starts_with(|c: char| c == '-' || ('1'..='9').contains(&c));
    if cost.as_str().is_some_and(|text| !plain(text) || text.parse::<i32>().is_err()) {
        e.invalid(&path.key(COST), cost, "must be a 32bit integer");
    }
    for (key, profile) in annotations.as_object().into_iter().flatten() {
        let Some(name) = key.strip_prefix("container.apparmor.security.beta.kubernetes.io/") else { continue };
        if !super::pod::containers(spec).any(|(_, _, container)| text(field(container, "name")) == name) {
            e.invalid(&path.key(key), &name.into(), "container not found");
        }
        let profile = text(profile);
        if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
            e.invalid(&path.key(key), &profile.into(), &format!("invalid AppArmor profile name: {profile:?}"));
        }
    }
}

/// Names that texts of a security context must be.
pub(super) fn subdomain(e: &mut Errors, value: &Value, path: &Path<'_>) {
    if let Some(name) = value.as_str() {
        e.name(path, name, names::dns1123_subdomain);
    }
}
