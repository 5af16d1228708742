//! Why a pod cannot be placed, in Kubernetes' words.

use object::order::Order as _;
use std::collections::BTreeMap;

use crate::node_info::Resources;
use crate::plugins::Verdict;

/// `0/5 nodes are available: 3 Insufficient cpu, 2 node(s) were unschedulable.` With `preemption`, what came of that: nothing
/// is said where it found victims.
pub(crate) fn unschedulable(verdict: &Verdict, resources: &Resources, preemption: Option<&str>) -> String {
    let total = verdict.rejections.len();
    if total == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut message = match &verdict.whole {
        Some(why) => format!("0/{total} nodes are available: {why}."),
        None => {
            let reasons: Vec<String> = verdict.rejections.iter().flat_map(|(_, r)| r.reasons(resources)).collect();
            available(total, reasons.iter().map(String::as_str))
        }
    };
    if let Some(preemption) = preemption {
        message += &format!(" no new claims to deallocate, preemption: {preemption}");
    }
    message
}

/// `0/3 nodes are available: 1 this, 2 that.`, sorted as text.
pub(crate) fn available<'a>(total: usize, reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut parts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.order();
    if parts.is_empty() {
        return format!("0/{total} nodes are available:");
    }
    format!("0/{total} nodes are available: {}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::{Plugin, Reason, Rejection};

    #[test]
    fn reads_like_kubernetes() {
        let resources = Resources::default();
        let rejection = |plugin, reason: Reason, resolvable| (0, Rejection { plugin, reason, resolvable });
        let rejections = vec![
            rejection(Plugin::NodeResourcesFit, Reason::Resources(1), true),
            rejection(Plugin::TaintToleration, Reason::Fixed("node(s) had untolerated taint(s)"), false),
            rejection(Plugin::NodeResourcesFit, Reason::Resources(1 | 1 << 63), true),
        ];
        let verdict = Verdict { rejections, whole: None };
        assert_eq!(
            unschedulable(&verdict, &resources, Some("not eligible due to preemptionPolicy=Never.")),
            "0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to \
             deallocate, preemption: not eligible due to preemptionPolicy=Never."
        );
        let whole = Verdict { whole: Some("persistentvolumeclaim \"c\" not found".to_owned()), ..verdict };
        let said = unschedulable(&whole, &resources, None);
        assert_eq!(said, "0/3 nodes are available: persistentvolumeclaim \"c\" not found.");
        assert_eq!(unschedulable(&Verdict::default(), &resources, Some("")), "no nodes available to schedule pods");
    }
}
