//! What scheduler, kubelet and workload controllers must agree on about where a pod may run: what it asks for, which taints
//! it bears, which nodes it wants. Kubernetes keeps the same rules in `k8s.io/component-helpers`.
//!
//! Nothing here chooses a node.

mod affinity;
mod host_port;
mod requests;
mod taint;

pub use affinity::{MatchNode, NodeFields, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Operator};
pub use host_port::HostPort;
pub use requests::{
    ResourceList, deserialize_resource_list, pod_quantities, pod_requests, qos_class, resource_list, total_requests,
};
pub use taint::{Effect, Taint, Toleration, untolerated};
