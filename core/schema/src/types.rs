//! The type graph: what JSON values of every kind look like. Built-in kinds and custom resources share this form.
//!
//! [`Types`] owns the nodes; [`Type`] is a cheap handle to one of them and the way to walk: `ty.field("spec")?.ty()`.
//! Names and descriptions of built-in types are borrowed from the program itself, those of custom resources are owned.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// A text that is either part of the program or owned.
pub type Text = Cow<'static, str>;

/// Position of a node in its [`Types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// A graph of types. Nodes refer to each other by position, so types may contain themselves.
#[derive(Debug, Default)]
pub struct Types {
    nodes: Vec<Node>,
    by_name: BTreeMap<Text, NodeId>,
}

/// One type, as [`Types::add`] takes it.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Name of the OpenAPI component (`io.k8s.api.core.v1.PodSpec`), empty for types without one.
    pub name: Text,
    /// What it is, for people.
    pub description: Text,
    /// What its values look like.
    pub shape: Shape,
    /// `x-kubernetes-map-type: atomic`: server-side apply owns the map or struct as a whole.
    pub atomic: bool,
    /// `x-kubernetes-preserve-unknown-fields`: fields that are not declared are kept.
    pub preserve_unknown: bool,
    /// `nullable`: null is a value of its own.
    pub nullable: bool,
}

/// What the values of a type look like.
#[derive(Clone, Debug, Default)]
pub enum Shape {
    /// Any JSON.
    #[default]
    Any,
    /// A whole object of some kind inside another (`RawExtension`, `x-kubernetes-embedded-resource`).
    Embedded,
    /// true or false.
    Boolean,
    /// A text.
    String(Format),
    /// A whole number.
    Integer {
        /// 32 or 64.
        bits: u8,
    },
    /// Any number.
    Number,
    /// A 32-bit number or a text.
    IntOrString,
    /// A resource quantity: a text, or a number that becomes one.
    Quantity,
    /// An object of this type, or JSON that is not an object (the `JSONSchemaPropsOr…` types).
    ObjectOr(NodeId),
    /// Named fields, sorted by name.
    Struct(Vec<FieldNode>),
    /// Any names, values of one type.
    Map(NodeId),
    /// A list of one type.
    List(NodeId, ListType),
}

/// What a text holds, where the decoder cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Nothing special.
    #[default]
    Plain,
    /// `metav1.Time`.
    DateTime,
    /// `metav1.MicroTime`.
    MicroTime,
    /// Base64.
    Byte,
}

/// How lists of a type are merged by server-side apply (`x-kubernetes-list-type`, `x-kubernetes-list-map-keys`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Nothing is said; treated as atomic.
    #[default]
    Unset,
    /// As a whole.
    Atomic,
    /// Each scalar at most once.
    Set,
    /// Items are told apart by the values of these fields.
    Map(Vec<Text>),
}

/// A field of a struct, as [`Shape::Struct`] holds it.
#[derive(Clone, Debug)]
pub struct FieldNode {
    /// Its name in JSON.
    pub name: Text,
    /// Its type.
    pub node: NodeId,
    /// What it is, for people. Often more exact than the description of its type.
    pub description: Text,
    /// OpenAPI says it must be there.
    pub required: bool,
    /// Go writes it even when it is empty, and OpenAPI publishes the empty value as its default.
    pub zero: bool,
    /// Go holds it behind a pointer: an explicit zero is a value and is kept.
    pub pointer: bool,
    /// Value it gets when it is absent.
    pub default: Option<Value>,
    /// Whether OpenAPI publishes `default` (others are set by defaulting functions).
    pub published: bool,
    /// `x-kubernetes-patch-strategy`.
    pub patch: PatchStrategy,
    /// `x-kubernetes-patch-merge-key`, empty for none.
    pub merge_key: Text,
    /// Values a text may have; empty for any.
    pub choices: Vec<Text>,
    /// Go's name of the type of a named scalar (`v1.RestartPolicy`), empty where it is plain.
    pub go: Text,
    /// Its number in protobuf, one byte for each level of embedded messages around it, the outermost in the highest byte
    /// (`0x0201`: field 1 of the message in field 2); 0 where it has none (custom resources).
    pub number: u32,
}

/// What a strategic merge patch does with a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatchStrategy {
    /// Lists are replaced, everything else is merged.
    #[default]
    Unset,
    /// Lists are merged, by merge key or as sets of scalars.
    Merge,
    /// Replaced as a whole.
    Replace,
    /// Fields the patch does not name are cleared (unions).
    RetainKeys,
    /// Lists are merged, and fields of an item the patch does not name are cleared.
    MergeRetainKeys,
}

impl Types {
    /// An empty graph.
    pub fn new() -> Self {
        Types::default()
    }

    /// Adds a node; a name that is not empty can be looked up afterwards.
    pub fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        if !node.name.is_empty() {
            self.by_name.insert(node.name.clone(), id);
        }
        self.nodes.push(node);
        id
    }

    /// Handle to the node at `id`; a position that does not exist is a type that takes any JSON.
    pub fn ty(&self, id: NodeId) -> Type<'_> {
        Type { types: self, id }
    }

    /// The type of this component name.
    pub fn named(&self, name: &str) -> Option<Type<'_>> {
        self.by_name.get(name).map(|id| self.ty(*id))
    }

    /// All types with a name, in the order of their names.
    pub fn all_named(&self) -> impl Iterator<Item = Type<'_>> {
        self.by_name.values().map(|id| self.ty(*id))
    }

    /// Replaces the node at `id`, for graphs that are built from the leaves of a cycle.
    pub fn replace(&mut self, id: NodeId, node: Node) {
        if let Some(slot) = self.nodes.get_mut(id.0 as usize) {
            *slot = node;
        }
    }
}

/// Handle to one type of a graph.
#[derive(Clone, Copy)]
pub struct Type<'a> {
    types: &'a Types,
    id: NodeId,
}

static ANY: Node = Node {
    name: Cow::Borrowed(""),
    description: Cow::Borrowed(""),
    shape: Shape::Any,
    atomic: false,
    preserve_unknown: true,
    nullable: true,
};

impl<'a> Type<'a> {
    /// The node itself.
    pub fn node(self) -> &'a Node {
        self.types.nodes.get(self.id.0 as usize).unwrap_or(&ANY)
    }

    /// Position in its graph; equal ids of one graph are equal types.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The graph it belongs to.
    pub fn types(self) -> &'a Types {
        self.types
    }

    /// What its values look like.
    pub fn shape(self) -> &'a Shape {
        &self.node().shape
    }

    /// Component name, empty for types without one.
    pub fn name(self) -> &'a str {
        &self.node().name
    }

    /// The last segment of the component name: Go's name of the type (`PodSpec`).
    pub fn short_name(self) -> &'a str {
        self.name().rsplit('.').next().unwrap_or("")
    }

    /// What it is, for people.
    pub fn description(self) -> &'a str {
        &self.node().description
    }

    /// Whether server-side apply owns a map or struct of this type as a whole.
    pub fn atomic(self) -> bool {
        self.node().atomic
    }

    /// The field of this name; `None` for types that are not structs too. What a map holds is [`Type::values`].
    pub fn field(self, name: &str) -> Option<Field<'a>> {
        let fields = self.field_nodes();
        let at = fields.binary_search_by(|f| f.name.as_ref().cmp(name)).ok()?;
        fields.get(at).map(|node| Field { types: self.types, node })
    }

    /// All fields of a struct, sorted by name.
    pub fn fields(self) -> impl Iterator<Item = Field<'a>> {
        let types = self.types;
        self.field_nodes().iter().map(move |node| Field { types, node })
    }

    fn field_nodes(self) -> &'a [FieldNode] {
        match self.shape() {
            Shape::Struct(fields) => fields,
            Shape::ObjectOr(id) => match self.types.ty(*id).shape() {
                Shape::Struct(fields) => fields,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// Type of the values of a map.
    pub fn values(self) -> Option<Type<'a>> {
        match self.shape() {
            Shape::Map(id) => Some(self.types.ty(*id)),
            _ => None,
        }
    }

    /// Type of the items of a list.
    pub fn items(self) -> Option<Type<'a>> {
        match self.shape() {
            Shape::List(id, _) => Some(self.types.ty(*id)),
            _ => None,
        }
    }

    /// How a list is merged; [`ListType::Unset`] for what is no list.
    pub fn list_type(self) -> &'a ListType {
        match self.shape() {
            Shape::List(_, list) => list,
            _ => &ListType::Unset,
        }
    }

    /// The type of what stands under `key` in an object of this type: a field, or the value of a map.
    pub fn member(self, key: &str) -> Option<Type<'a>> {
        self.field(key).map(Field::ty).or_else(|| self.values())
    }

    /// A type of the same graph that says nothing of its values.
    pub fn any(self) -> Type<'a> {
        Type { types: self.types, id: NodeId(u32::MAX) }
    }

    /// Follows field names (and `*` for items of a list or values of a map).
    pub fn at(self, path: &[&str]) -> Option<Type<'a>> {
        path.iter().try_fold(self, |ty, step| if *step == "*" { ty.items().or_else(|| ty.values()) } else { ty.member(step) })
    }
}

impl fmt::Debug for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Type({} {:?})", self.id.0, self.name())
    }
}

/// Handle to a field of a struct.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    types: &'a Types,
    node: &'a FieldNode,
}

impl<'a> Field<'a> {
    /// Everything that is known of it.
    pub fn node(self) -> &'a FieldNode {
        self.node
    }

    /// Its name in JSON.
    pub fn name(self) -> &'a str {
        &self.node.name
    }

    /// Its type.
    pub fn ty(self) -> Type<'a> {
        self.types.ty(self.node.node)
    }

    /// What it is, for people.
    pub fn description(self) -> &'a str {
        if self.node.description.is_empty() { self.ty().description() } else { &self.node.description }
    }

    /// Value it gets when it is absent.
    pub fn default(self) -> Option<&'a Value> {
        self.node.default.as_ref()
    }

    /// The default by which server-side apply tells apart items of a list whose key field is absent.
    pub fn key_default(self) -> Option<Value> {
        match (self.default(), self.node.zero, self.ty().shape()) {
            (Some(value), _, _) => Some(value.clone()),
            (None, true, Shape::String(_)) => Some(Value::from("")),
            (None, true, Shape::Integer { .. }) => Some(Value::from(0)),
            _ => None,
        }
    }

    /// `x-kubernetes-patch-strategy`.
    pub fn patch(self) -> PatchStrategy {
        self.node.patch
    }

    /// `x-kubernetes-patch-merge-key`.
    pub fn merge_key(self) -> Option<&'a str> {
        if self.node.merge_key.is_empty() { None } else { Some(&self.node.merge_key) }
    }
}

/// A type together with the graph that holds it.
#[derive(Clone, Debug)]
pub struct Root {
    /// The graph.
    pub types: Arc<Types>,
    /// Position of the type.
    pub id: NodeId,
}

impl Root {
    /// The type.
    pub fn ty(&self) -> Type<'_> {
        self.types.ty(self.id)
    }
}
