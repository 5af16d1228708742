//! Reads what the build script wrote: the schemas and resources of all built-in kinds.

use std::sync::Arc;

use object::{GroupResource, GroupVersionKind, GroupVersionResource, Name};

use crate::model::{FieldModel, ListModel, Model, NodeModel, ResourceModel, ShapeModel};
use crate::resource::{Column, Group, Resource, Storage, Subresource};
use crate::types::{FieldNode, Format, ListType, Node, NodeId, PatchStrategy, Root, Shape, Text, Types};

static SCHEMAS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schemas.bin"));

/// Groups in the order of discovery, and all resources.
pub(crate) fn load() -> (Vec<Group>, Vec<Resource>, Arc<Types>) {
    // The bytes are part of the program: if they cannot be read, nothing can work, and the tests see it first.
    let Ok(model) = postcard::from_bytes::<Model<'static>>(SCHEMAS) else {
        return (Vec::new(), Vec::new(), Arc::new(Types::new()));
    };
    let mut types = Types::new();
    for node in &model.nodes {
        types.add(type_node(&model.texts, node));
    }
    let types = Arc::new(types);
    let groups = model
        .groups
        .iter()
        .map(|g| Group { name: Name::literal(g.name), versions: g.versions.iter().map(|v| Name::literal(v)).collect() })
        .collect();
    let resources = model.resources.iter().map(|r| resource(&model, r, &types)).collect();
    (groups, resources, types)
}

fn type_node(texts: &[&'static str], from: &NodeModel<'static>) -> Node {
    let text = |at: u32| Text::Borrowed(texts.get(at as usize).copied().unwrap_or(""));
    let shape = match &from.shape {
        ShapeModel::Any => Shape::Any,
        ShapeModel::Embedded => Shape::Embedded,
        ShapeModel::Boolean => Shape::Boolean,
        ShapeModel::String(format) => Shape::String(match *format {
            "date-time" => Format::DateTime,
            "micro-time" => Format::MicroTime,
            "byte" => Format::Byte,
            _ => Format::Plain,
        }),
        ShapeModel::Integer(bits) => Shape::Integer { bits: *bits },
        ShapeModel::Number => Shape::Number,
        ShapeModel::IntOrString => Shape::IntOrString,
        ShapeModel::Quantity => Shape::Quantity,
        ShapeModel::ObjectOr(id) => Shape::ObjectOr(NodeId(*id)),
        ShapeModel::Struct(fields) => Shape::Struct(fields.iter().map(|f| field(f, text(f.text))).collect()),
        ShapeModel::Map(id) => Shape::Map(NodeId(*id)),
        ShapeModel::List(id, list) => Shape::List(
            NodeId(*id),
            match list {
                ListModel::Unset => ListType::Unset,
                ListModel::Atomic => ListType::Atomic,
                ListModel::Set => ListType::Set,
                ListModel::Map(keys) => ListType::Map(keys.iter().map(|k| Text::Borrowed(k)).collect()),
            },
        ),
    };
    let preserve_unknown = matches!(shape, Shape::Any | Shape::Embedded);
    Node {
        name: Text::Borrowed(from.name),
        description: text(from.text),
        shape,
        atomic: from.atomic,
        preserve_unknown,
        nullable: false,
    }
}

fn field(from: &FieldModel<'static>, description: Text) -> FieldNode {
    FieldNode {
        name: Text::Borrowed(from.name),
        node: NodeId(from.node),
        description,
        required: from.required,
        zero: from.zero,
        pointer: from.pointer,
        default: if from.default.is_empty() { None } else { serde_json::from_str(from.default).ok() },
        published: from.published,
        patch: match from.patch {
            "merge" => PatchStrategy::Merge,
            "replace" => PatchStrategy::Replace,
            "retainKeys" => PatchStrategy::RetainKeys,
            "merge,retainKeys" => PatchStrategy::MergeRetainKeys,
            _ => PatchStrategy::Unset,
        },
        merge_key: Text::Borrowed(from.merge_key),
        choices: from.choices.iter().map(|c| Text::Borrowed(c)).collect(),
        go: Text::Borrowed(from.go),
        number: from.number,
    }
}

fn texts(from: &[&'static str]) -> Vec<Text> {
    from.iter().map(|t| Text::Borrowed(*t)).collect()
}

fn resource(model: &Model<'static>, from: &ResourceModel<'static>, types: &Arc<Types>) -> Resource {
    let kind = GroupVersionKind::literal(from.group, from.version, from.kind);
    // `group/version/resource`, or `version/resource` for the core group.
    let parts: Vec<&'static str> = from.stored_as.split('/').collect();
    let storage = match parts.as_slice() {
        [group, version, resource] => Storage {
            resource: GroupResource::literal(group, resource),
            kind: GroupVersionKind::literal(group, version, from.kind),
        },
        [version, resource] => {
            Storage { resource: GroupResource::literal("", resource), kind: GroupVersionKind::literal("", version, from.kind) }
        }
        _ => Storage { resource: GroupResource::literal(from.group, from.resource), kind: kind.clone() },
    };
    Resource {
        gvr: GroupVersionResource::literal(from.group, from.version, from.resource),
        list_kind: format!("{}List", from.kind).into(),
        singular: from.kind.to_lowercase().into(),
        namespaced: from.namespaced,
        short_names: texts(&from.short_names),
        categories: texts(&from.categories),
        verbs: texts(&from.verbs),
        subresources: from
            .subresources
            .iter()
            .map(|s| Subresource {
                name: Text::Borrowed(s.name),
                group: Text::Borrowed(s.group),
                version: Text::Borrowed(s.version),
                kind: Text::Borrowed(s.kind),
                verbs: texts(&s.verbs),
            })
            .collect(),
        field_selectors: texts(&from.field_selectors),
        columns: from
            .columns
            .iter()
            .map(|c| Column {
                name: Text::Borrowed(c.name),
                kind: Text::Borrowed(c.kind),
                format: Text::Borrowed(c.format),
                priority: c.priority,
                description: Text::Borrowed(model.texts.get(c.text as usize).copied().unwrap_or("")),
            })
            .collect(),
        storage,
        kind,
        root: Root { types: types.clone(), id: NodeId(from.node) },
        custom: None,
    }
}
