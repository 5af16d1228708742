//! NodeName: a pod that names its node runs there or nowhere.

use super::{Plugin, Rejection};
use crate::node_info::NodeInfo;

pub(super) fn filter(wanted: &str, node: &NodeInfo) -> Result<(), Rejection> {
    if wanted.is_empty() || *wanted == *node.name {
        return Ok(());
    }
    Err(Rejection::unresolvable(Plugin::NodeName, "node(s) didn't match the requested node name"))
}
