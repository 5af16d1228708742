//! What pods say of Windows, and of the system they need at all.

use object::Value;

use super::errors::{Errors, Path, text};
use super::{deep, field, pod, security};

/// `validateWindowsSecurityContextOptions`.
pub(super) fn options(e: &mut Errors, options: &Value, path: &Path<'_>) {
    security::subdomain(e, field(options, "gmsaCredentialSpecName"), &path.child("gmsaCredentialSpecName"));
    let (spec, at) = (field(options, "gmsaCredentialSpec"), path.child("gmsaCredentialSpec"));
    match spec.as_str() {
        Some("") => e.invalid(&at, spec, "gmsaCredentialSpec cannot be an empty string"),
        Some(text) if text.len() > 64 * 1024 => e.invalid(&at, spec, "gmsaCredentialSpec size must be under 64 KiB"),
        _ => {}
    }
    let (name, at) = (field(options, "runAsUserName"), path.child("runAsUserName"));
    for problem in name.as_str().map(user_name).unwrap_or_default() {
        e.invalid(&at, name, &format!("runAsUserName{problem}"));
    }
}

/// What is wrong with `DOMAIN\USER` or `USER`.
fn user_name(name: &str) -> Vec<&'static str> {
    let (domain, user) = match name.split_once('\\') {
        _ if name.is_empty() => return vec![" cannot be an empty string"],
        _ if name.contains(|c: char| c.is_ascii_control()) => return vec![" cannot contain control characters"],
        Some((_, user)) if user.contains('\\') => return vec![" cannot contain more than one backslash"],
        Some((domain, user)) => (Some(domain), user),
        None => (None, name),
    };
    let mut found = Vec::new();
    if let Some(domain) = domain {
        let forbidden = ['\\', '/', ':', '*', '?', '"', '<', '>', '|'];
        let net_bios = (1..=15).contains(&domain.chars().count()) && !domain.starts_with('.') && !domain.contains(forbidden);
        let label = |label: &str| {
            let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
        };
        if domain.len() >= 256 {
            found.push("'s Domain length must be under 256 characters");
        }
        if !net_bios && !domain.split('.').all(label) {
            found.push("'s Domain doesn't match the NetBios nor the DNS format");
        }
    }
    match user.len() {
        0 => found.push("'s User cannot be empty"),
        105.. => found.push("'s User length must not be longer than 104 characters"),
        _ => {}
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        found.push("'s User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        found.push("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
    found
}

/// `validateWindowsHostProcessPod`: all containers are processes of the host, or none is.
pub(super) fn host_process(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let of_pod = deep(spec, &["securityContext", "windowsOptions", "hostProcess"]);
    let (mut all, mut hosted) = (0, 0);
    for (list, i, container) in pod::containers(spec) {
        all += 1;
        let own = deep(container, &["securityContext", "windowsOptions", "hostProcess"]);
        if !own.is_null() && !of_pod.is_null() && own != of_pod {
            let detail = format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            let at = path.child(list).index(i).to_string() + ".securityContext.windowsOptions.hostProcess";
            e.invalid(&Path::root(&at), own, &detail);
        }
        let effective = if own.is_null() { of_pod } else { own };
        hosted += i32::from(effective == &Value::Bool(true));
    }
    if hosted > 0 && hosted != all {
        let detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        e.invalid(path, &"".into(), detail);
    }
    if hosted > 0 && field(spec, "hostNetwork") != &Value::Bool(true) {
        let detail = "hostNetwork must be true if pod contains any hostProcess containers";
        e.invalid(&path.child("hostNetwork"), &Value::Bool(false), detail);
    }
}

/// `validateOS`, `validateLinux` and `validateWindows`.
pub(super) fn system(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let system = field(spec, "os");
    match text(field(system, "name")) {
        _ if system.is_null() => {}
        "" => e.required(&path.child("os").child("name"), "cannot be empty"),
        "linux" => linux(e, spec, path),
        "windows" => windows(e, spec, path),
        _ => e.unsupported(&path.child("os"), field(system, "name"), &["linux", "windows"]),
    }
}

fn linux(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    let detail = "windows options cannot be set for a linux pod";
    if !deep(spec, &["securityContext", "windowsOptions"]).is_null() {
        e.forbidden(&path.child("securityContext").child("windowsOptions"), detail);
    }
    for (list, i, container) in pod::containers(spec) {
        if !deep(container, &["securityContext", "windowsOptions"]).is_null() {
            e.forbidden(&path.child(list).index(i).child("securityContext").child("windowsOptions"), detail);
        }
    }
}

/// Fields of a pod that mean nothing to Windows, as they are looked at; those with a dot are of its security context.
const POD: [&str; 15] = [
    ".appArmorProfile",
    ".seLinuxOptions",
    "hostUsers",
    "hostPID",
    "hostIPC",
    ".seccompProfile",
    ".fsGroup",
    ".fsGroupChangePolicy",
    ".sysctls",
    "shareProcessNamespace",
    ".runAsUser",
    ".runAsGroup",
    ".supplementalGroups",
    ".supplementalGroupsPolicy",
    ".seLinuxChangePolicy",
];

/// The same of a container's security context.
const CONTAINER: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

fn windows(e: &mut Errors, spec: &Value, path: &Path<'_>) {
    const DETAIL: &str = "cannot be set for a windows pod";
    let context = path.child("securityContext");
    for key in POD {
        let (of, at, key) = match key.strip_prefix('.') {
            Some(key) => (field(spec, "securityContext"), &context, key),
            None => (spec, path, key),
        };
        let unset = key.starts_with("host") && key != "hostUsers" && field(of, key) == &Value::Bool(false);
        if !field(of, key).is_null() && !unset {
            e.forbidden(&at.child(key), DETAIL);
        }
    }
    for (list, i, container) in pod::containers(spec) {
        for key in CONTAINER.into_iter().filter(|key| !deep(container, &["securityContext", key]).is_null()) {
            e.forbidden(&path.child(list).index(i).child("securityContext").child(key), DETAIL);
        }
    }
}
