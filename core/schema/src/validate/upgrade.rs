//! Services that gain or lose an address family (`validateUpgradeDowngradeClusterIPs`, `validateUpgradeDowngradeIPFamilies`).

use object::Value;

use super::errors::{Errors, Path, items, text};
use super::field;
use super::service::is_headless;

const ONCE: &str = "may not change once set";

fn is_external(spec: &Value) -> bool {
    text(field(spec, "type")) == "ExternalName"
}

pub(super) fn addresses(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    if is_external(new) || is_external(old) || is_headless(new) && is_headless(old) {
        return;
    }
    let (value, list) = (field(new, "clusterIPs"), path.child("clusterIPs"));
    let (now, before) = (items(value), items(field(old, "clusterIPs")));
    if now.len() == before.len() {
        for (i, _) in before.iter().zip(now).enumerate().filter(|(_, (a, b))| a != b) {
            e.invalid(&list.index(i), value, ONCE);
        }
        return;
    }
    if before.len() > now.len() && now.is_empty() {
        e.invalid(&list.index(0), value, "primary clusterIP can not be unset");
    }
    if let (Some(a), Some(b)) = (before.first(), now.first())
        && a != b
    {
        e.invalid(&list.index(0), value, ONCE);
    }
    if before.len() > now.len() && now.len() == 1 {
        single(e, new, "clusterIP", path);
    }
}

pub(super) fn families(e: &mut Errors, new: &Value, old: &Value, path: &Path<'_>) {
    if is_external(new) || is_external(old) || is_headless(new) || is_headless(old) {
        return;
    }
    let (value, list) = (field(new, "ipFamilies"), path.child("ipFamilies"));
    let (now, before) = (items(value), items(field(old, "ipFamilies")));
    let addresses = field(new, "clusterIPs");
    if now.len() == before.len() {
        for _ in before.iter().zip(now).filter(|(a, b)| a != b) {
            e.invalid(&list.index(0), value, ONCE);
        }
        return;
    }
    if before.len() > now.len() && items(addresses).is_empty() {
        e.invalid(&list.index(0), value, "primary ipFamily can not be unset");
    }
    // Kubernetes shows the addresses here.
    if let (Some(a), Some(b)) = (before.first(), now.first())
        && a != b
    {
        e.invalid(&list.index(0), addresses, ONCE);
    }
    if before.len() > now.len() && now.len() == 1 {
        single(e, new, "ipFamily", path);
    }
}

/// Who gives up the second of two has to say that one is enough.
fn single(e: &mut Errors, spec: &Value, what: &str, path: &Path<'_>) {
    let policy = field(spec, "ipFamilyPolicy");
    if text(policy) != "SingleStack" {
        let detail = format!("must be set to 'SingleStack' when releasing the secondary {what}");
        e.invalid(&path.child("ipFamilyPolicy"), policy, &detail);
    }
}
