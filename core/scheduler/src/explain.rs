//! Why a pod cannot be placed, in Kubernetes' words.

use std::collections::BTreeMap;

use crate::plugins::Rejection;

/// `0/5 nodes are available: 3 Insufficient cpu, 2 node(s) were unschedulable. ... preemption: ...`
pub(crate) fn unschedulable(rejections: &[Rejection], may_preempt: bool) -> String {
    let total = rejections.len();
    if total == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let reasons = histogram(rejections.iter().flat_map(|r| r.reasons.iter().map(String::as_str)));
    let preemption = if may_preempt {
        let why = |r: &Rejection| {
            if r.resolvable { "No preemption victims found for incoming pod" } else { "Preemption is not helpful for scheduling" }
        };
        format!("0/{total} nodes are available: {}", histogram(rejections.iter().map(why)))
    } else {
        "not eligible due to preemptionPolicy=Never.".to_owned()
    };
    format!("0/{total} nodes are available: {reasons} no new claims to deallocate, preemption: {preemption}")
}

/// `1 this, 2 that.`, sorted as text.
fn histogram<'a>(reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut parts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    format!("{}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::Plugin;

    #[test]
    fn reads_like_kubernetes() {
        let rejection = |plugin, reasons: &[&str], resolvable| Rejection {
            plugin,
            reasons: reasons.iter().map(|r| (*r).to_owned()).collect(),
            resolvable,
        };
        let list = [
            rejection(Plugin::NodeResourcesFit, &["Insufficient cpu"], true),
            rejection(Plugin::TaintToleration, &["node(s) had untolerated taint(s)"], false),
            rejection(Plugin::NodeResourcesFit, &["Insufficient cpu"], true),
        ];
        assert_eq!(
            unschedulable(&list, true),
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to deallocate, \
             preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, \
             2 No preemption victims found for incoming pod."
        );
        assert_eq!(unschedulable(&[], true), "no nodes available to schedule pods");
    }
}
