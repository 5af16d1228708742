//! Names of kinds and resources.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Name;

/// An API group and a version in it, written `apps/v1`, or `v1` for the core group (whose name is empty).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct GroupVersion {
    /// Group, empty for the core group.
    pub group: Name,
    /// Version, for example `v1`.
    pub version: Name,
}

/// A kind in a version of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct GroupVersionKind {
    /// Group, empty for the core group.
    pub group: Name,
    /// Version, for example `v1`.
    pub version: Name,
    /// Kind, for example `Deployment`.
    pub kind: Name,
}

/// A resource (the plural, lower-case name in URLs) in a version of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct GroupVersionResource {
    /// Group, empty for the core group.
    pub group: Name,
    /// Version, for example `v1`.
    pub version: Name,
    /// Resource, for example `deployments`.
    pub resource: Name,
}

/// A resource whatever its version; objects are stored under this name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct GroupResource {
    /// Group, empty for the core group.
    pub group: Name,
    /// Resource, for example `deployments`.
    pub resource: Name,
}

impl GroupVersion {
    /// From its parts.
    pub fn new(group: &str, version: &str) -> Self {
        GroupVersion { group: group.into(), version: version.into() }
    }

    /// Reads `group/version` or `version`; `None` if there is more than one slash or no version.
    pub fn parse(api_version: &str) -> Option<Self> {
        let mut parts = api_version.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(v), None, None) if !v.is_empty() => Some(GroupVersion::new("", v)),
            (Some(g), Some(v), None) if !v.is_empty() => Some(GroupVersion::new(g, v)),
            _ => None,
        }
    }

    /// The kind of this name in this group and version.
    pub fn kind(&self, kind: &str) -> GroupVersionKind {
        GroupVersionKind { group: self.group.clone(), version: self.version.clone(), kind: kind.into() }
    }

    /// The resource of this name in this group and version.
    pub fn resource(&self, resource: &str) -> GroupVersionResource {
        GroupVersionResource { group: self.group.clone(), version: self.version.clone(), resource: resource.into() }
    }
}

impl GroupVersionKind {
    /// From its parts.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        GroupVersionKind { group: group.into(), version: version.into(), kind: kind.into() }
    }

    /// One that the program knows.
    pub const fn literal(group: &'static str, version: &'static str, kind: &'static str) -> Self {
        GroupVersionKind { group: Name::literal(group), version: Name::literal(version), kind: Name::literal(kind) }
    }

    /// The `apiVersion` field of objects of this kind.
    pub fn api_version(&self) -> String {
        self.group_version().to_string()
    }

    /// Without the kind.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion { group: self.group.clone(), version: self.version.clone() }
    }
}

impl GroupVersionResource {
    /// From its parts.
    pub fn new(group: &str, version: &str, resource: &str) -> Self {
        GroupVersionResource { group: group.into(), version: version.into(), resource: resource.into() }
    }

    /// One that the program knows.
    pub const fn literal(group: &'static str, version: &'static str, resource: &'static str) -> Self {
        GroupVersionResource { group: Name::literal(group), version: Name::literal(version), resource: Name::literal(resource) }
    }

    /// Without the version.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.resource.clone() }
    }

    /// Without the resource.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion { group: self.group.clone(), version: self.version.clone() }
    }
}

impl GroupResource {
    /// From its parts.
    pub fn new(group: &str, resource: &str) -> Self {
        GroupResource { group: group.into(), resource: resource.into() }
    }

    /// One that the program knows.
    pub const fn literal(group: &'static str, resource: &'static str) -> Self {
        GroupResource { group: Name::literal(group), resource: Name::literal(resource) }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.version) } else { write!(f, "{}/{}", self.group, self.version) }
    }
}

/// `deployments.apps`, or `pods` for the core group: the form Kubernetes' messages use.
impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.resource) } else { write!(f, "{}.{}", self.resource, self.group) }
    }
}

/// `apps/v1, Kind=Deployment`: the form Kubernetes' messages use.
impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_round_trip() {
        for text in ["v1", "apps/v1", "events.k8s.io/v1"] {
            assert_eq!(GroupVersion::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(GroupVersion::parse("a/b/c"), None);
        assert_eq!(GroupVersion::parse(""), None);
        assert_eq!(GroupVersion::parse("apps/"), None);
    }
}
