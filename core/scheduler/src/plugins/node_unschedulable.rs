//! NodeUnschedulable: cordoned nodes take no pods, except those that tolerate the taint that stands for it.

use object::scheduling::{Effect, Taint};

use super::{Plugin, Rejection};
use crate::node_info::NodeInfo;
use crate::pod_info::Template;

pub(super) fn filter(pod: &Template, node: &NodeInfo) -> Result<(), Rejection> {
    if !node.unschedulable {
        return Ok(());
    }
    let key = "node.kubernetes.io/unschedulable".to_owned();
    let taint = Taint { key, value: String::new(), effect: Effect::NoSchedule };
    if pod.tolerations.iter().any(|t| t.tolerates(&taint)) {
        return Ok(());
    }
    Err(Rejection::unresolvable(Plugin::NodeUnschedulable, "node(s) were unschedulable"))
}
