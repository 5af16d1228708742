//! A structural schema as nodes of the type graph, for what works on types: server-side apply, documents, tables.

use object::order::Order as _;
use std::sync::Arc;

use object::Value;

use super::structural::Structural;
use crate::types::{self, FieldNode, ListType, Node, NodeId, PatchStrategy, Root, Shape, Text, Types};

/// Name of the built-in type of every object's metadata.
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The type of objects with this schema.
pub fn root(schema: &Structural, builtin: &Types) -> Root {
    let mut graph = Graph { types: Types::new(), builtin };
    let metadata = builtin.named(OBJECT_META).map(|ty| graph.copy(ty.id(), 0));
    let metadata = metadata.unwrap_or_else(|| graph.plain(Shape::Any));
    let id = graph.object(schema, Some(metadata));
    Root { types: Arc::new(graph.types), id }
}

struct Graph<'a> {
    types: Types,
    builtin: &'a Types,
}

impl Graph<'_> {
    fn plain(&mut self, shape: Shape) -> NodeId {
        self.types.add(Node { shape, ..Node::default() })
    }

    /// A built-in type with everything below it. Metadata does not contain itself.
    fn copy(&mut self, id: NodeId, depth: u32) -> NodeId {
        let node = self.builtin.ty(id).node();
        let below = |graph: &mut Self, id: NodeId| if depth > 16 { graph.plain(Shape::Any) } else { graph.copy(id, depth + 1) };
        let shape = match &node.shape {
            Shape::ObjectOr(id) => Shape::ObjectOr(below(self, *id)),
            Shape::Map(id) => Shape::Map(below(self, *id)),
            Shape::List(id, list) => Shape::List(below(self, *id), list.clone()),
            Shape::Struct(fields) => {
                Shape::Struct(fields.iter().map(|f| FieldNode { node: below(self, f.node), ..f.clone() }).collect())
            }
            other => other.clone(),
        };
        self.types.add(Node { shape, ..node.clone() })
    }

    fn object(&mut self, schema: &Structural, metadata: Option<NodeId>) -> NodeId {
        let mut fields: Vec<FieldNode> = Vec::new();
        let whole = metadata.is_some() || schema.embedded;
        if whole {
            for name in ["apiVersion", "kind"] {
                let text = self.plain(Shape::String(types::Format::Plain));
                fields.push(field(name, text, None));
            }
        }
        if let Some(metadata) = metadata {
            fields.push(field("metadata", metadata, None));
        }
        for (name, below) in &schema.properties {
            if fields.iter().any(|f| f.name == name.as_str()) {
                continue;
            }
            let node = self.node(below);
            let mut field = field(name, node, below.default.clone());
            field.description = below.description.clone().into();
            fields.push(field);
        }
        fields.order_by(|a, b| a.name.cmp(&b.name));
        self.types.add(Node {
            description: schema.description.clone().into(),
            shape: Shape::Struct(fields),
            atomic: schema.atomic,
            preserve_unknown: schema.preserve_unknown,
            nullable: schema.nullable,
            name: Text::default(),
        })
    }

    fn node(&mut self, schema: &Structural) -> NodeId {
        let shape = match schema.kind.as_str() {
            _ if schema.int_or_string => Shape::IntOrString,
            "object" if !schema.properties.is_empty() => return self.object(schema, None),
            "object" => match &schema.additional {
                Some(additional) => Shape::Map(self.node(additional)),
                None => Shape::Any,
            },
            "array" => {
                let items = match &schema.items {
                    Some(items) => self.node(items),
                    None => self.plain(Shape::Any),
                };
                Shape::List(items, list_type(schema))
            }
            "string" => Shape::String(types::Format::Plain),
            "integer" => Shape::Integer { bits: 64 },
            "number" => Shape::Number,
            "boolean" => Shape::Boolean,
            _ => Shape::Any,
        };
        self.types.add(Node {
            description: schema.description.clone().into(),
            shape,
            atomic: schema.atomic,
            preserve_unknown: schema.preserve_unknown,
            nullable: schema.nullable,
            name: Text::default(),
        })
    }
}

fn list_type(schema: &Structural) -> ListType {
    match schema.list_type.as_str() {
        "set" => ListType::Set,
        "map" => ListType::Map(schema.map_keys.iter().cloned().map(Text::from).collect()),
        "atomic" => ListType::Atomic,
        _ => ListType::Unset,
    }
}

fn field(name: &str, node: NodeId, default: Option<Value>) -> FieldNode {
    FieldNode {
        name: name.to_owned().into(),
        node,
        description: Text::default(),
        required: false,
        zero: false,
        pointer: true,
        default,
        published: true,
        patch: PatchStrategy::Unset,
        merge_key: Text::default(),
        choices: Vec::new(),
        go: Text::default(),
        number: 0,
    }
}
