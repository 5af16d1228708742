//! TaintToleration: hard taints rule nodes out, soft ones make them less welcome.

use object::scheduling::{Effect, untolerated};

use super::{Plugin, Rejection};
use crate::node_info::NodeInfo;
use crate::pod_info::Template;

pub(super) fn filter(pod: &Template, node: &NodeInfo) -> Result<(), Rejection> {
    match untolerated(&node.taints, &pod.tolerations, &[Effect::NoSchedule, Effect::NoExecute]) {
        Some(_) => Err(Rejection::unresolvable(Plugin::TaintToleration, "node(s) had untolerated taint(s)")),
        None => Ok(()),
    }
}

/// How many soft taints the pod does not bear: fewer is better. Only tolerations of soft taints count, or of all.
pub(super) fn score(pod: &Template, node: &NodeInfo) -> i64 {
    let soft = node.taints.iter().filter(|taint| taint.effect == Effect::PreferNoSchedule);
    soft.filter(|taint| !pod.tolerations.iter().any(|t| t.tolerates(taint))).count() as i64
}
