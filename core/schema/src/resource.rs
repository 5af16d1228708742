//! What the API serves under a path: names, verbs, subresources, columns and the type of the objects.

use std::sync::Arc;

use object::{GroupResource, GroupVersionKind, GroupVersionResource, Name};

use crate::crd::Custom;
use crate::types::{Root, Text, Type};

/// An API group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name, empty for the core group.
    pub name: Name,
    /// Served versions, the preferred one first.
    pub versions: Vec<Name>,
}

/// A resource in one version.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Where it is served.
    pub gvr: GroupVersionResource,
    /// Kind of its objects.
    pub kind: GroupVersionKind,
    /// Kind of its lists.
    pub list_kind: Text,
    /// Singular name.
    pub singular: Text,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Short names kubectl accepts.
    pub short_names: Vec<Text>,
    /// Categories (`all`).
    pub categories: Vec<Text>,
    /// Verbs, sorted. A resource without `get` and `list` is an action, not a stored object.
    pub verbs: Vec<Text>,
    /// Subresources, sorted by name.
    pub subresources: Vec<Subresource>,
    /// Field selectors a list accepts.
    pub field_selectors: Vec<Text>,
    /// Columns of its tables; empty for the general ones (Name, Created At).
    pub columns: Vec<Column>,
    /// Under which resource and in which version its objects are kept.
    pub storage: Storage,
    /// Type of its objects.
    pub root: Root,
    /// What a CustomResourceDefinition says of it; `None` for built-in resources.
    pub custom: Option<Arc<Custom>>,
}

/// Where objects of a resource are kept. Several served versions, and resources of several groups (events), share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Key in the store.
    pub resource: GroupResource,
    /// Version and kind in which they are kept.
    pub kind: GroupVersionKind,
}

/// A subresource.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// Last segment of its path.
    pub name: Text,
    /// Group of its kind; empty where it is the kind of the resource's own group.
    pub group: Text,
    /// Version of its kind; empty likewise.
    pub version: Text,
    /// Kind of its bodies.
    pub kind: Text,
    /// Verbs, sorted.
    pub verbs: Vec<Text>,
}

impl Subresource {
    /// The kind of its bodies; where discovery names no version, it is the resource's own.
    pub fn gvk(&self, resource: &GroupVersionResource) -> GroupVersionKind {
        match (&*self.group, &*self.version) {
            (_, "") => GroupVersionKind::new(&resource.group, &resource.version, &self.kind),
            (group, version) => GroupVersionKind::new(group, version, &self.kind),
        }
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: Text,
    /// Type of the cells: `string`, `integer`, `boolean`, `date`.
    pub kind: Text,
    /// Format of the cells: `name` marks the object's name.
    pub format: Text,
    /// 0 is always shown, others only with `-o wide`.
    pub priority: u8,
    /// What the column says.
    pub description: Text,
}

impl Resource {
    /// Type of its objects.
    pub fn ty(&self) -> Type<'_> {
        self.root.ty()
    }

    /// Whether it allows `verb`.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether `status` is written through a subresource of its own.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Name for messages and keys.
    pub fn group_resource(&self) -> GroupResource {
        self.gvr.group_resource()
    }
}
