//! Taints of nodes and the tolerations of pods.

use serde::{Deserialize, Serialize};

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Effect {
    /// They are not scheduled here.
    #[default]
    NoSchedule,
    /// They are scheduled elsewhere if possible.
    PreferNoSchedule,
    /// They are not scheduled here, and those that run here are evicted.
    NoExecute,
}

/// One of a node's `spec.taints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, may be empty.
    pub value: String,
    /// Effect.
    pub effect: Effect,
}

/// One of a pod's `spec.tolerations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// Key of the taints; empty (with `Exists`) for all.
    pub key: String,
    /// `Exists`, or `Equal` (also if empty).
    pub operator: String,
    /// Value of the taints.
    pub value: String,
    /// Effect of the taints; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// How long a `NoExecute` taint is tolerated; `None` for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

impl Toleration {
    /// Whether a pod with this toleration bears `taint`.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if self.effect.is_some_and(|effect| effect != taint.effect) || (!self.key.is_empty() && self.key != taint.key) {
            return false;
        }
        match self.operator.as_str() {
            "" | "Equal" => self.value == taint.value,
            "Exists" => true,
            _ => false,
        }
    }
}

/// The first of `taints` with one of `effects` that no toleration bears.
pub fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration], effects: &[Effect]) -> Option<&'a Taint> {
    taints.iter().find(|taint| effects.contains(&taint.effect) && !tolerations.iter().any(|t| t.tolerates(taint)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_toleration_bears_the_taints_it_names() {
        let taint: Taint = serde_json::from_value(json!({"key": "k", "value": "v", "effect": "NoSchedule"})).unwrap();
        for (name, toleration, bears) in [
            ("equal", json!({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}), true),
            ("equal is the default operator", json!({"key": "k", "value": "v"}), true),
            ("another value", json!({"key": "k", "value": "w"}), false),
            ("exists", json!({"key": "k", "operator": "Exists"}), true),
            ("exists without key bears everything", json!({"operator": "Exists"}), true),
            ("another effect", json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), false),
            ("another key", json!({"key": "x", "operator": "Exists"}), false),
        ] {
            let toleration: Toleration = serde_json::from_value(toleration).unwrap();
            assert_eq!(toleration.tolerates(&taint), bears, "{name}");
        }
    }
}
