//! All resources that are served now, found by path or by kind.

use object::order::Order as _;
use std::collections::BTreeMap;
use std::sync::Arc;

use object::{GroupVersionKind, GroupVersionResource};

use crate::resource::{Group, Resource};
use crate::runtime_config::RuntimeConfig;
use crate::types::{Type, Types};

/// The resources of a cluster. A clone is cheap and independent: what is served can be looked up as of a point in time.
#[derive(Clone, Debug)]
pub struct Registry {
    groups: Arc<Vec<Group>>,
    resources: Arc<BTreeMap<GroupVersionResource, Arc<Resource>>>,
    kinds: Arc<BTreeMap<GroupVersionKind, GroupVersionResource>>,
    builtin: Arc<Types>,
    builtin_groups: u32,
}

impl Registry {
    /// The built-in kinds of Kubernetes that are served where nothing else is said.
    pub fn builtin() -> Self {
        Registry::configured(&RuntimeConfig::default())
    }

    /// The built-in kinds of Kubernetes that are served with this configuration.
    pub fn configured(config: &RuntimeConfig) -> Self {
        let (mut groups, mut list, builtin) = crate::builtin::load();
        list.retain(|resource| config.serves(&resource.gvr));
        for group in &mut groups {
            let has = |version: &object::Name| list.iter().any(|r| r.gvr.group == group.name && r.gvr.version == *version);
            group.versions.retain(has);
        }
        groups.retain(|group| !group.versions.is_empty());
        let builtin_groups = groups.len() as u32;
        let mut registry =
            Registry { groups: Arc::new(groups), resources: Arc::default(), kinds: Arc::default(), builtin, builtin_groups };
        for resource in list {
            registry.insert(resource);
        }
        registry
    }

    /// Adds a resource, or replaces the one served at the same path. A new group comes after the built-in ones.
    pub fn insert(&mut self, resource: Resource) {
        let (gvr, kind) = (resource.gvr.clone(), resource.kind.clone());
        let groups = Arc::make_mut(&mut self.groups);
        match groups.iter_mut().find(|g| g.name == gvr.group) {
            Some(group) if group.versions.contains(&gvr.version) => {}
            Some(group) => {
                group.versions.push(gvr.version.clone());
                if resource.custom.is_some() {
                    group.versions.order_by_key(|version| crate::crd::version_order(version));
                }
            }
            None => {
                let group = Group { name: gvr.group.clone(), versions: vec![gvr.version.clone()] };
                // Groups of custom resources come after the built-in ones, by name.
                let custom = resource.custom.is_some();
                let at = groups.iter().skip(self.builtin_groups as usize).position(|g| custom && g.name > group.name);
                groups.insert(at.map_or(groups.len(), |at| at + self.builtin_groups as usize), group);
            }
        }
        Arc::make_mut(&mut self.kinds).insert(kind, gvr.clone());
        Arc::make_mut(&mut self.resources).insert(gvr, Arc::new(resource));
    }

    /// Takes away a resource; its version and group go with the last one they hold.
    pub fn remove(&mut self, gvr: &GroupVersionResource) {
        let Some(old) = Arc::make_mut(&mut self.resources).remove(gvr) else { return };
        Arc::make_mut(&mut self.kinds).remove(&old.kind);
        if self.resources_of(&gvr.group, &gvr.version).next().is_some() {
            return;
        }
        let groups = Arc::make_mut(&mut self.groups);
        if let Some(group) = groups.iter_mut().find(|g| g.name == gvr.group) {
            group.versions.retain(|v| *v != gvr.version);
        }
        groups.retain(|g| !g.versions.is_empty());
    }

    /// What is served at a path.
    pub fn resource(&self, gvr: &GroupVersionResource) -> Option<&Arc<Resource>> {
        self.resources.get(gvr)
    }

    /// The resource of a kind. Kinds that are only bodies of subresources (Scale, Eviction) have none:
    /// see [`Registry::kind_type`].
    pub fn kind(&self, kind: &GroupVersionKind) -> Option<&Arc<Resource>> {
        self.kinds.get(kind).and_then(|gvr| self.resources.get(gvr))
    }

    /// Groups in the order of discovery, each with its versions, preferred first.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Whether the group is served in this version.
    pub fn serves(&self, group: &str, version: &str) -> bool {
        self.groups.iter().any(|g| &*g.name == group && g.versions.iter().any(|v| &**v == version))
    }

    /// Whether the group is one of Kubernetes' own, where unknown versions and resources are told apart from unknown groups.
    pub fn is_builtin_group(&self, group: &str) -> bool {
        self.groups.iter().take(self.builtin_groups as usize).any(|g| &*g.name == group)
    }

    /// Resources of a version of a group, in the order of discovery (by name).
    pub fn resources_of(&self, group: &str, version: &str) -> impl Iterator<Item = &Arc<Resource>> {
        let from = GroupVersionResource::new(group, version, "");
        let end = from.group_version();
        self.resources.range(from..).map(|(_, r)| r).take_while(move |r| r.gvr.group == end.group && r.gvr.version == end.version)
    }

    /// All resources, in the order of discovery.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.groups.iter().flat_map(move |g| g.versions.iter().flat_map(move |v| self.resources_of(&g.name, v)))
    }

    /// All built-in types.
    pub fn types(&self) -> &Types {
        &self.builtin
    }

    /// The type of a kind, also of one that is only the body of a subresource (`autoscaling/v1` Scale, `policy/v1`
    /// Eviction, `authentication.k8s.io/v1` TokenRequest) or of every group (`v1` Status, DeleteOptions).
    pub fn kind_type(&self, kind: &GroupVersionKind) -> Option<Type<'_>> {
        if let Some(resource) = self.kind(kind) {
            return Some(resource.ty());
        }
        let package = match &*kind.group {
            "" => "io.k8s.api.core".to_owned(),
            group => format!("io.k8s.api.{}", group.split('.').next().unwrap_or(group)),
        };
        self.builtin
            .named(&format!("{package}.{}.{}", kind.version, kind.kind))
            .or_else(|| self.builtin.named(&format!("io.k8s.apimachinery.pkg.apis.meta.{}.{}", kind.version, kind.kind)))
    }
}

impl Default for Registry {
    fn default() -> Self {
        Registry::builtin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ListType, PatchStrategy, Shape};

    fn gvr(group: &str, version: &str, resource: &str) -> GroupVersionResource {
        GroupVersionResource::new(group, version, resource)
    }

    #[test]
    fn finds_resources_by_path_and_by_kind() {
        let registry = Registry::builtin();
        assert_eq!(registry.resources().count(), 66);
        let deployments = registry.resource(&gvr("apps", "v1", "deployments")).unwrap();
        assert_eq!((&*deployments.kind.kind, &*deployments.singular, deployments.namespaced), ("Deployment", "deployment", true));
        assert_eq!(deployments.short_names, ["deploy"]);
        let scale = deployments.subresource("scale").unwrap();
        assert_eq!((&*scale.group, &*scale.version, &*scale.kind), ("autoscaling", "v1", "Scale"));
        let pod = registry.kind(&GroupVersionKind::new("", "v1", "Pod")).unwrap();
        assert_eq!(pod.gvr, gvr("", "v1", "pods"));
        assert!(registry.resource(&gvr("", "v1", "deployments")).is_none());
    }

    #[test]
    fn several_versions_and_groups_share_storage() {
        let registry = Registry::builtin();
        let storage = |g, v, r| registry.resource(&gvr(g, v, r)).unwrap().storage.clone();
        assert_eq!(storage("events.k8s.io", "v1", "events"), storage("", "v1", "events"));
        assert_eq!(
            storage("autoscaling", "v1", "horizontalpodautoscalers"),
            storage("autoscaling", "v2", "horizontalpodautoscalers")
        );
        assert_eq!(&*storage("autoscaling", "v1", "horizontalpodautoscalers").kind.version, "v2");
    }

    #[test]
    fn groups_come_in_the_order_of_discovery() {
        let registry = Registry::builtin();
        let names: Vec<&str> = registry.groups().iter().map(|g| &*g.name).collect();
        assert_eq!(names[..4], ["", "apiregistration.k8s.io", "apps", "events.k8s.io"]);
        let autoscaling = registry.groups().iter().find(|g| &*g.name == "autoscaling").unwrap();
        assert_eq!(autoscaling.versions.iter().map(|v| &**v).collect::<Vec<_>>(), ["v2", "v1"]);
    }

    #[test]
    fn types_say_how_lists_are_merged() {
        let registry = Registry::builtin();
        let spec = registry.types().named("io.k8s.api.core.v1.PodSpec").unwrap();
        let containers = spec.field("containers").unwrap();
        assert_eq!((containers.patch(), containers.merge_key()), (PatchStrategy::Merge, Some("name")));
        assert_eq!(*containers.ty().list_type(), ListType::Map(vec!["name".into()]));
        let protocol = spec.at(&["containers", "*", "ports", "*"]).unwrap().field("protocol").unwrap();
        assert_eq!(protocol.key_default(), Some("TCP".into()));
        assert!(spec.field("nodeSelector").unwrap().ty().atomic());
        assert!(matches!(spec.at(&["containers", "*", "resources", "limits", "cpu"]).unwrap().shape(), Shape::Quantity));
        assert!(registry.types().named("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector").unwrap().atomic());
        assert!(spec.field("containers").unwrap().description().starts_with("List of containers"));
    }

    #[test]
    fn bodies_of_subresources_have_types() {
        let registry = Registry::builtin();
        for (group, version, kind) in [
            ("autoscaling", "v1", "Scale"),
            ("policy", "v1", "Eviction"),
            ("authentication.k8s.io", "v1", "TokenRequest"),
            ("", "v1", "DeleteOptions"),
            ("", "v1", "Binding"),
        ] {
            assert!(registry.kind_type(&GroupVersionKind::new(group, version, kind)).is_some(), "{kind}");
        }
    }

    #[test]
    fn resources_come_and_go() {
        let mut registry = Registry::builtin();
        let before = registry.clone();
        let mut custom = (**registry.resource(&gvr("", "v1", "configmaps")).unwrap()).clone();
        custom.gvr = gvr("example.com", "v1", "widgets");
        custom.kind = GroupVersionKind::new("example.com", "v1", "Widget");
        registry.insert(custom);
        assert!(registry.serves("example.com", "v1"));
        assert!(!before.serves("example.com", "v1"));
        registry.remove(&gvr("example.com", "v1", "widgets"));
        assert!(!registry.serves("example.com", "v1"));
        assert_eq!(registry.groups(), before.groups());
    }
}
