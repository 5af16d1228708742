//! What the picture of the cluster shows, worked out from the state: boxes for nodes, tiles for pods.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::model::{Id, Look, Node, Pod};
use crate::state::State;

/// Colours that CSS knows (`--owner-0` …).
const COLOURS: usize = 8;

/// A pod as it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    pub id: Id,
    pub pod: Rc<Pod>,
    pub look: Look,
    /// Index of the owner's colour.
    pub colour: usize,
    /// Belongs to a revision that is being replaced.
    pub outdated: bool,
    /// Already gone; fades.
    pub gone: bool,
}

/// A node as it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeBox {
    pub id: Id,
    /// `None`: pods name this node, but it is gone.
    pub node: Option<Rc<Node>>,
    pub tiles: Vec<Tile>,
    /// CPU that pods here ask for, as a share of what is there.
    pub cpu: f64,
    /// The same for memory.
    pub memory: f64,
}

/// The whole picture.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Picture {
    /// Pods without a node.
    pub waiting: Vec<Tile>,
    pub nodes: Vec<NodeBox>,
}

/// How large tiles are, so that many pods fit.
pub fn density(pods: usize) -> &'static str {
    match pods {
        0..=45 => "roomy",
        46..=160 => "compact",
        161..=330 => "dense",
        _ => "crowded",
    }
}

/// The colour of an owner.
pub fn colour(state: &State, owner: &str) -> usize {
    state.colours.get(owner).copied().unwrap_or(0) % COLOURS
}

/// Draws the state.
pub fn picture(state: &State) -> Picture {
    let mut by_node: BTreeMap<&str, Vec<Tile>> = BTreeMap::new();
    let all = state.pods.iter().map(|entry| (entry, false)).chain(state.leaving.iter().map(|entry| (entry, true)));
    for ((id, pod), gone) in all {
        if gone && state.pods.contains_key(id) {
            continue;
        }
        by_node.entry(&pod.spec.node_name).or_default().push(Tile {
            id: id.clone(),
            look: if gone { Look::Leaving } else { pod.look() },
            colour: colour(state, &state.owner_of(pod)),
            outdated: state.outdated(pod),
            pod: pod.clone(),
            gone,
        });
    }
    // In the order of their age, so that a new pod takes a place at the end and no other tile moves for it.
    for tiles in by_node.values_mut() {
        tiles.sort_by(|a, b| (&a.pod.metadata.creation_timestamp, &a.id).cmp(&(&b.pod.metadata.creation_timestamp, &b.id)));
    }
    let waiting = by_node.remove("").unwrap_or_default();
    let mut nodes: Vec<NodeBox> = Vec::new();
    for (id, node) in state.nodes.iter() {
        nodes.push(node_box(id.clone(), Some(node.clone()), by_node.remove(&**id).unwrap_or_default()));
    }
    nodes.extend(by_node.into_iter().map(|(id, tiles)| node_box(id.into(), None, tiles)));
    nodes.sort_by(|a, b| natural(&a.id).cmp(&natural(&b.id)));
    Picture { waiting, nodes }
}

fn node_box(id: Id, node: Option<Rc<Node>>, tiles: Vec<Tile>) -> NodeBox {
    let asked = |resource: &str| -> f64 {
        let using = tiles.iter().filter(|tile| !tile.gone && !matches!(tile.look, Look::Done));
        let containers = using.flat_map(|tile| &tile.pod.spec.containers);
        containers.filter_map(|container| quantity(container.resources.requests.get(resource)?)).sum()
    };
    let share = |resource: &str| {
        let there = node.as_ref().and_then(|node| quantity(node.status.allocatable.get(resource)?)).filter(|q| *q > 0.0);
        there.map_or(0.0, |there| (asked(resource) / there).clamp(0.0, 1.0))
    };
    NodeBox { cpu: share("cpu"), memory: share("memory"), id, node, tiles }
}

/// A quantity as a number, for drawing bars only.
fn quantity(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().ok()?;
    let factor = match &text[digits.len()..] {
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number * factor)
}

/// node-2 before node-10.
fn natural(name: &str) -> (&str, u64) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Action, Change, Kind, Object};

    fn put(kind: Kind, json: serde_json::Value) -> Change {
        Change::Put(Box::new(Object::parse(kind, &json.to_string()).unwrap()))
    }

    #[test]
    fn pods_are_in_their_nodes_by_age() {
        let node = |name: &str| {
            put(
                Kind::Node,
                serde_json::json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}),
            )
        };
        let pod = |name: &str, node: &str, at: &str| {
            put(
                Kind::Pod,
                serde_json::json!({"metadata": {"name": name, "namespace": "d", "creationTimestamp": at},
                    "spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}}]}}),
            )
        };
        let mut state = State::default();
        state.apply(Action::Changed(vec![
            node("node-10"),
            node("node-2"),
            pod("b", "node-2", "2026-01-01T00:00:00Z"),
            pod("a", "node-2", "2026-01-01T00:00:01Z"),
            pod("w", "", "2026-01-01T00:00:01Z"),
            pod("lost", "node-99", "2026-01-01T00:00:01Z"),
        ]));
        let drawn = picture(&state);
        assert_eq!(drawn.waiting.len(), 1);
        let names: Vec<_> = drawn.nodes.iter().map(|n| (&*n.id, n.node.is_some(), n.tiles.len())).collect();
        assert_eq!(names, [("node-2", true, 2), ("node-10", true, 0), ("node-99", false, 1)]);
        assert_eq!(&*drawn.nodes[0].tiles[0].id, "d/b", "the older pod first");
        assert_eq!((drawn.nodes[0].cpu, drawn.nodes[0].memory), (0.5, 0.5));
    }

    #[test]
    fn quantities() {
        for (text, value) in
            [("500m", Some(0.5)), ("2", Some(2.0)), ("1Ki", Some(1024.0)), ("1.5G", Some(1.5e9)), ("x", None), ("1Q", None)]
        {
            assert_eq!(quantity(text), value, "{text}");
        }
    }
}
