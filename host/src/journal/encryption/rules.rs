//! Which rule of the configuration an object's key falls under.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use object::GroupResource;

use super::provider::Provider;

/// What a configuration says of some resources.
pub struct Rule {
    pub patterns: Vec<Pattern>,
    /// The first writes, all read. Never empty.
    pub providers: Vec<Provider>,
}

/// One element of `resources`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `secrets`, `deployments.apps`.
    Resource(GroupResource),
    /// `*.apps`; `*.` is the core group.
    Group(String),
    /// `*.*`.
    Everything,
}

impl Pattern {
    /// Reads one, and refuses what could never match.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(text != "*", "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources");
        ensure!(!text.is_empty(), "resource name is empty");
        ensure!(!text.chars().any(char::is_uppercase), "resource name should not contain capital letters");
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        match group {
            "extensions" => bail!("'extensions' group has been removed and cannot be used for encryption"),
            "events.k8s.io" => {
                bail!(
                    "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file"
                )
            }
            _ => {}
        }
        match (resource, group) {
            ("*", "*") => Ok(Pattern::Everything),
            (_, "*") => bail!("encrypting the same resource across groups is not supported"),
            ("*", group) => {
                // Keys of such definitions do not name their group, so that a wildcard could not find them.
                let known =
                    !group.ends_with(".k8s.io") || cluster::stored_resources().iter().any(|(kept, _)| &*kept.group == group);
                ensure!(known, "resources of this group are not built in: name them one by one");
                Ok(Pattern::Group(group.to_owned()))
            }
            (resource, group) => Ok(Pattern::Resource(GroupResource::new(group, resource))),
        }
    }

    /// Whether `other` can match nothing that this does not match.
    pub fn covers(&self, other: &Pattern) -> bool {
        match (self, other) {
            (Pattern::Everything, _) => true,
            (Pattern::Group(group), Pattern::Resource(resource)) => **group == *resource.group,
            _ => self == other,
        }
    }
}

/// Rules by where objects are kept.
pub struct Rules {
    rules: Vec<Rule>,
    /// Prefixes of keys of built-in resources and of those named in the configuration.
    prefixes: BTreeMap<String, Option<usize>>,
}

impl Rules {
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut prefixes = BTreeMap::new();
        let named = rules.iter().flat_map(|rule| &rule.patterns).filter_map(|pattern| match pattern {
            Pattern::Resource(resource) => Some((resource.clone(), cluster::registry_prefix(resource))),
            _ => None,
        });
        for (resource, prefix) in named.chain(cluster::stored_resources()) {
            prefixes.entry(prefix).or_insert_with(|| first(&rules, &resource));
        }
        Rules { rules, prefixes }
    }

    /// The providers of the object at `key`; none means that it is kept as it is.
    pub fn providers(&self, key: &str) -> Option<&[Provider]> {
        let found = self.known(key).unwrap_or_else(|| {
            // A custom resource: `/registry/<group>/<plural>/…`.
            let mut parts = key.split('/').skip(2);
            let group = parts.next().filter(|group| group.contains('.')).unwrap_or("?");
            first(&self.rules, &GroupResource::new(group, parts.next().unwrap_or_default()))
        });
        found.and_then(|at| self.rules.get(at)).map(|rule| &rule.providers[..])
    }

    /// The longest known prefix, which has two or three parts.
    fn known(&self, key: &str) -> Option<Option<usize>> {
        let mut slashes = key.match_indices('/').map(|(at, _)| at + 1).skip(2);
        let (two, three) = (slashes.next()?, slashes.next());
        let three = three.and_then(|end| self.prefixes.get(&key[..end]));
        three.or_else(|| self.prefixes.get(&key[..two])).copied()
    }
}

/// Entries stand in the order in which they apply.
fn first(rules: &[Rule], resource: &GroupResource) -> Option<usize> {
    let pattern = Pattern::Resource(resource.clone());
    rules.iter().position(|rule| rule.patterns.iter().any(|p| p.covers(&pattern)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_find_their_rule() {
        let rule = |text: &[&str]| Rule {
            patterns: text.iter().map(|t| Pattern::parse(t).expect(t)).collect(),
            providers: vec![Provider::identity(); text.len()],
        };
        let sizes = |rules: Vec<Rule>, key: &str| Rules::new(rules).providers(key).map(<[Provider]>::len);
        let some =
            || vec![rule(&["secrets", "services", "gateways.gateway.networking.k8s.io"]), rule(&["*.apps", "*.example.com"])];
        for (key, expect) in [
            ("/registry/secrets/ns/a", Some(3)),
            ("/registry/services/specs/ns/a", Some(3)),
            ("/registry/services/endpoints/ns/a", None),
            ("/registry/gateways/ns/a", Some(3)),
            ("/registry/deployments/ns/a", Some(2)),
            ("/registry/example.com/widgets/ns/a", Some(2)),
            ("/registry/other.com/widgets/ns/a", None),
            ("/registry/pods/ns/secrets", None),
            ("/registry/namespaces/secrets", None),
        ] {
            assert_eq!(sizes(some(), key), expect, "{key}");
        }
        assert_eq!(sizes(vec![rule(&["*."])], "/registry/minions/n"), Some(1));
        assert_eq!(sizes(vec![rule(&["*."])], "/registry/leases/n/a"), None);
        for key in ["/registry/leases/n/a", "/registry/x.com/y/z", "/registry/unknown/a"] {
            assert_eq!(sizes(vec![rule(&["*.*"])], key), Some(1), "{key}");
        }
        // The first entry that fits is the one that counts.
        assert_eq!(sizes(vec![rule(&["configmaps", "pods"]), rule(&["*.*"])], "/registry/pods/a/b"), Some(2));
    }
}
