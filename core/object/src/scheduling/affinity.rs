//! Node selectors: the `nodeSelector` and `nodeAffinity` of pods and persistent volumes.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// What a node selector is asked about: a node's labels, and its name as the field `metadata.name`.
#[derive(Clone, Copy, Debug)]
pub struct NodeFields<'a> {
    /// The node's name.
    pub name: &'a str,
    /// The node's labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// Terms of which one must match (`requiredDuringSchedulingIgnoredDuringExecution`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// The terms.
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// Requirements that must all hold. A term without any matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    /// About labels.
    pub match_expressions: Vec<NodeSelectorRequirement>,
    /// About fields; only `metadata.name` exists.
    pub match_fields: Vec<NodeSelectorRequirement>,
}

/// A requirement on one label or field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct NodeSelectorRequirement {
    /// Label or field.
    pub key: String,
    /// How it relates to `values`.
    pub operator: Operator,
    /// The values.
    #[serde(default)]
    pub values: Vec<String>,
}

/// How a label relates to values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Operator {
    /// It is one of them.
    In,
    /// It is none of them, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
    /// It is a number above the one value.
    Gt,
    /// It is a number below the one value.
    Lt,
}

/// What can be asked whether it wants a node.
pub trait MatchNode {
    /// Whether it wants `node`.
    fn matches(&self, node: NodeFields<'_>) -> bool;
}

impl MatchNode for NodeSelectorRequirement {
    fn matches(&self, node: NodeFields<'_>) -> bool {
        self.holds(node.labels.get(&self.key).map(String::as_str))
    }
}

impl NodeSelectorRequirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = self.values.first().and_then(|v| number(v));
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => value.and_then(number).zip(bound).is_some_and(|(v, b)| v > b),
            Operator::Lt => value.and_then(number).zip(bound).is_some_and(|(v, b)| v < b),
        }
    }
}

impl MatchNode for NodeSelectorTerm {
    fn matches(&self, node: NodeFields<'_>) -> bool {
        if self.match_expressions.is_empty() && self.match_fields.is_empty() {
            return false;
        }
        let field = |key: &str| (key == "metadata.name").then_some(node.name);
        self.match_expressions.iter().all(|r| r.matches(node)) && self.match_fields.iter().all(|r| r.holds(field(&r.key)))
    }
}

impl MatchNode for NodeSelector {
    fn matches(&self, node: NodeFields<'_>) -> bool {
        self.node_selector_terms.iter().any(|term| term.matches(node))
    }
}

impl NodeSelector {
    /// The required node affinity of a pod's `spec.affinity`.
    pub fn required_of(affinity: &Value) -> Option<Self> {
        let required = crate::value::at(affinity, &["nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"])?;
        NodeSelector::deserialize(required).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_term_matches_by_labels_and_name() {
        let labels = BTreeMap::from([("zone".to_owned(), "a".to_owned()), ("cores".to_owned(), "8".to_owned())]);
        let node = NodeFields { name: "n1", labels: &labels };
        for (name, term, matches) in [
            ("in", json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}), true),
            ("not in", json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}), false),
            ("not in, absent", json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["a"]}]}), true),
            ("exists", json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}), true),
            ("does not exist", json!({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}), false),
            ("greater", json!({"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["7"]}]}), true),
            ("less", json!({"matchExpressions": [{"key": "cores", "operator": "Lt", "values": ["8"]}]}), false),
            ("not a number", json!({"matchExpressions": [{"key": "zone", "operator": "Lt", "values": ["8"]}]}), false),
            ("name", json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}), true),
            ("empty term", json!({}), false),
        ] {
            let selector = NodeSelector::deserialize(json!({"nodeSelectorTerms": [term]})).unwrap();
            assert_eq!(selector.matches(node), matches, "{name}");
        }
    }
}
