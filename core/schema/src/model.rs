//! The form in which the build script hands the built-in schemas to the crate: plain data, borrowed texts, no behaviour.
//! Compiled into both, so nothing here may use the rest of the crate. [`crate::types`] is what the program works with.

use serde::{Deserialize, Serialize};

/// Everything the build script knows.
#[derive(Serialize, Deserialize)]
pub struct Model<'a> {
    /// Descriptions, each once; nodes and fields name them by position. The first is empty.
    #[serde(borrow)]
    pub texts: Vec<&'a str>,
    /// The type graph; nodes name each other by position.
    #[serde(borrow)]
    pub nodes: Vec<NodeModel<'a>>,
    /// Groups in the order of discovery.
    #[serde(borrow)]
    pub groups: Vec<GroupModel<'a>>,
    /// Resources, sorted as discovery sorts them within their group and version.
    #[serde(borrow)]
    pub resources: Vec<ResourceModel<'a>>,
}

/// One type.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeModel<'a> {
    /// Name of the OpenAPI component, empty for types without one.
    #[serde(borrow)]
    pub name: &'a str,
    /// Position of the description.
    pub text: u32,
    /// A map or struct that server-side apply owns as a whole.
    pub atomic: bool,
    /// What the values look like.
    #[serde(borrow)]
    pub shape: ShapeModel<'a>,
}

/// What the values of a type look like.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum ShapeModel<'a> {
    /// Any JSON.
    Any,
    /// A whole object of any kind inside another (`RawExtension`).
    Embedded,
    /// true or false.
    Boolean,
    /// Text; the format is `""`, `date-time`, `micro-time`, `byte`.
    #[serde(borrow)]
    String(&'a str),
    /// A whole number of 32 or 64 bits.
    Integer(u8),
    /// Any number.
    Number,
    /// A 32-bit number or a text.
    IntOrString,
    /// A resource quantity.
    Quantity,
    /// An object of this type, or any other JSON (the `JSONSchemaPropsOr…` types).
    ObjectOr(u32),
    /// Named fields, sorted by name.
    Struct(Vec<FieldModel<'a>>),
    /// Any names, values of one type.
    Map(u32),
    /// A list of one type.
    List(u32, ListModel<'a>),
}

/// How a list is merged.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum ListModel<'a> {
    /// Nothing is said: as a whole.
    Unset,
    /// As a whole, as is said.
    Atomic,
    /// Each scalar at most once.
    Set,
    /// Items are told apart by these fields.
    #[serde(borrow)]
    Map(Vec<&'a str>),
}

/// A field of a struct.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldModel<'a> {
    /// Its name in JSON.
    #[serde(borrow)]
    pub name: &'a str,
    /// Position of its type.
    pub node: u32,
    /// Position of the description.
    pub text: u32,
    /// OpenAPI says it must be there.
    pub required: bool,
    /// Go writes it even when it is empty.
    pub zero: bool,
    /// Go holds it behind a pointer, so that an explicit zero is kept.
    pub pointer: bool,
    /// Value it gets when it is absent, as JSON; empty for none.
    pub default: &'a str,
    /// Whether OpenAPI publishes `default`.
    pub published: bool,
    /// Strategic merge patch strategy: `""`, `merge`, `replace`, `retainKeys`, `merge,retainKeys`.
    pub patch: &'a str,
    /// Strategic merge key.
    pub merge_key: &'a str,
    /// Values a text may have; empty for any.
    pub choices: Vec<&'a str>,
    /// Go's name of the type of a scalar, where it has one.
    pub go: &'a str,
    /// Its number in protobuf; 0 for none.
    pub number: u32,
}

/// An API group.
#[derive(Serialize, Deserialize)]
pub struct GroupModel<'a> {
    /// Name, empty for the core group.
    #[serde(borrow)]
    pub name: &'a str,
    /// Versions, preferred first.
    pub versions: Vec<&'a str>,
}

/// A resource in one version.
#[derive(Serialize, Deserialize)]
pub struct ResourceModel<'a> {
    /// Group.
    #[serde(borrow)]
    pub group: &'a str,
    /// Version.
    pub version: &'a str,
    /// Plural name.
    pub resource: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Position of its type.
    pub node: u32,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Short names.
    pub short_names: Vec<&'a str>,
    /// Categories.
    pub categories: Vec<&'a str>,
    /// Verbs, sorted.
    pub verbs: Vec<&'a str>,
    /// Subresources, sorted by name.
    pub subresources: Vec<SubresourceModel<'a>>,
    /// Field selectors a list accepts.
    pub field_selectors: Vec<&'a str>,
    /// Columns of its table.
    pub columns: Vec<ColumnModel<'a>>,
    /// `group/version/resource` that holds its objects, where it is another one.
    pub stored_as: &'a str,
}

/// A subresource.
#[derive(Serialize, Deserialize)]
pub struct SubresourceModel<'a> {
    /// Last segment of the path.
    #[serde(borrow)]
    pub name: &'a str,
    /// Group of the kind, where discovery names one.
    pub group: &'a str,
    /// Version of the kind, where discovery names one.
    pub version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Verbs, sorted.
    pub verbs: Vec<&'a str>,
}

/// A column of a table.
#[derive(Serialize, Deserialize)]
pub struct ColumnModel<'a> {
    /// Heading.
    #[serde(borrow)]
    pub name: &'a str,
    /// Type of the cells.
    pub kind: &'a str,
    /// Format of the cells.
    pub format: &'a str,
    /// 0 is always shown, others only when wide.
    pub priority: u8,
    /// Position of the description.
    pub text: u32,
}
