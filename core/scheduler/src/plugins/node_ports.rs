//! NodePorts: a port of the node can be had once per protocol and address.

use super::{Plugin, Rejection};
use crate::node_info::NodeInfo;
use crate::pod_info::Template;

pub(super) fn filter(pod: &Template, node: &NodeInfo) -> Result<(), Rejection> {
    if pod.host_ports.is_empty() || node.with_host_ports == 0 {
        return Ok(());
    }
    if node.pods.values().any(|other| conflict(pod, other)) {
        return Err(Rejection::new(Plugin::NodePorts, "node(s) didn't have free ports for the requested pod ports"));
    }
    Ok(())
}

/// Whether two pods want the same port of a node.
pub(crate) fn conflict(pod: &Template, other: &Template) -> bool {
    other.host_ports.iter().any(|taken| pod.host_ports.iter().any(|wanted| wanted.conflicts(taken)))
}
