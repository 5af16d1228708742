//! What the server serves, and what the words of a command line mean by it.

use object::Value;
use object::value::{list_at, str_at};

use crate::{Failure, Kubectl, Result};

/// A resource as commands use it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mapping {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub resource: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
    pub namespaced: bool,
}

impl Mapping {
    /// `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployment.apps`: what stands before the name in messages.
    pub(crate) fn singular_with_group(&self) -> String {
        let singular = self.kind.to_lowercase();
        if self.group.is_empty() { singular } else { format!("{singular}.{}", self.group) }
    }

    /// `deployments.apps`.
    pub(crate) fn group_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }
}

/// Everything that is served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discovery {
    /// Groups and versions, preferred ones first.
    pub versions: Vec<String>,
    /// Resources in the order of discovery.
    pub resources: Vec<Mapping>,
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

impl Kubectl<'_> {
    /// Asks once, and remembers.
    pub(crate) async fn discover(&self) -> Result<Discovery> {
        if let Some(known) = &*self.discovery.borrow() {
            return Ok(known.clone());
        }
        let mut found = Discovery::default();
        for root in ["/api", "/apis"] {
            let list = self.json("GET", root, AGGREGATED, None).await?;
            for group in list_at(&list, &["items"]) {
                add_group(&mut found, group);
            }
        }
        *self.discovery.borrow_mut() = Some(found.clone());
        Ok(found)
    }

    /// The resource that a word means: `pods`, `po`, `pod`, `Pod`, `deployments.apps`, `deployments.v1.apps`.
    pub(crate) async fn mapping(&self, word: &str) -> Result<Mapping> {
        let discovery = self.discover().await?;
        let found = discovery.find(word).cloned();
        found.ok_or_else(|| Failure::new(format!("the server doesn't have a resource type {word:?}")))
    }

    /// The resource of an object's kind.
    pub(crate) async fn mapping_of(&self, object: &Value, source: &str) -> Result<Mapping> {
        let (api_version, kind) = (str_at(object, &["apiVersion"]), str_at(object, &["kind"]));
        let discovery = self.discover().await?;
        let found = discovery.resources.iter().find(|m| m.kind == kind && m.api_version() == api_version).cloned();
        found.ok_or_else(|| {
            Failure::new(format!(
                "resource mapping not found for name: {:?} namespace: {:?} from {source:?}: no matches for kind {kind:?} in version {api_version:?}\nensure CRDs are installed first",
                str_at(object, &["metadata", "name"]),
                str_at(object, &["metadata", "namespace"]),
            ))
        })
    }
}

impl Discovery {
    pub(crate) fn find(&self, word: &str) -> Option<&Mapping> {
        let lower = word.to_lowercase();
        let (name, group) = lower.split_once('.').unwrap_or((&lower, ""));
        let names = |m: &&Mapping, n: &str| m.resource == n || m.singular == n || m.kind.to_lowercase() == n;
        let in_group = |m: &&Mapping| {
            group.is_empty() || m.group == group || group.split_once('.').is_some_and(|(v, g)| m.version == v && m.group == g)
        };
        let short = |m: &&Mapping| m.short_names.iter().any(|s| s == name);
        let all = || self.resources.iter().filter(in_group);
        all().find(|m| names(m, name)).or_else(|| all().find(short))
    }

    /// The resources of a category (`all`).
    pub(crate) fn category(&self, word: &str) -> Vec<&Mapping> {
        self.resources.iter().filter(|m| m.categories.iter().any(|c| c == word)).collect()
    }
}

fn add_group(found: &mut Discovery, group: &Value) {
    let name = str_at(group, &["metadata", "name"]);
    for version in list_at(group, &["versions"]) {
        let version_name = str_at(version, &["version"]);
        found.versions.push(if name.is_empty() { version_name.to_owned() } else { format!("{name}/{version_name}") });
        for resource in list_at(version, &["resources"]) {
            let texts = |key: &str| list_at(resource, &[key]).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
            let word = str_at(resource, &["resource"]).to_owned();
            found.resources.push(mapping(name, version_name, resource, word, texts));
        }
    }
}

fn mapping(group: &str, version: &str, resource: &Value, word: String, texts: impl Fn(&str) -> Vec<String>) -> Mapping {
    Mapping {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: str_at(resource, &["responseKind", "kind"]).to_owned(),
        resource: word,
        singular: str_at(resource, &["singularResource"]).to_owned(),
        short_names: texts("shortNames"),
        categories: texts("categories"),
        verbs: texts("verbs"),
        namespaced: str_at(resource, &["scope"]) == "Namespaced",
    }
}
