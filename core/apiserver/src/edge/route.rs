//! Paths.

use object::GroupVersionResource;

use super::query::decode;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A collection, an object or a subresource.
    Resource {
        /// Which resource, in which version.
        gvr: GroupVersionResource,
        /// Namespace, or empty.
        namespace: String,
        /// Name, or empty.
        name: String,
        /// Subresource, or empty.
        subresource: String,
        /// Whether the old `/watch/` form of the path was used.
        watch: bool,
    },
    /// Anything else: discovery, health, documents.
    Other(String),
}

impl Route {
    /// Reads a request target; the query is left to others.
    pub fn parse(target: &str) -> Self {
        let path = target.split('?').next().unwrap_or_default();
        let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return Route::Other(path.to_owned()),
        };
        let (watch, rest) = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            rest => (false, rest),
        };
        let resource = |namespace: &str, resource: &str, name: &str, subresource: &str| Route::Resource {
            gvr: GroupVersionResource::new(group, version, resource),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            watch,
        };
        match rest {
            // A namespace's own subresources are those two; anything else below a namespace is a resource in it.
            ["namespaces", name, sub @ ("status" | "finalize")] => resource("", "namespaces", name, sub),
            ["namespaces", namespace, plural] => resource(namespace, plural, "", ""),
            ["namespaces", namespace, plural, name] => resource(namespace, plural, name, ""),
            ["namespaces", namespace, plural, name, sub, ..] => resource(namespace, plural, name, sub),
            [plural] => resource("", plural, "", ""),
            [plural, name] => resource("", plural, name, ""),
            [plural, name, sub, ..] => resource("", plural, name, sub),
            [] => Route::Other(path.to_owned()),
        }
    }

    /// Whether everybody may ask, as `system:public-info-viewer` and `system:discovery` of unauthenticated probes allow.
    pub fn is_public(&self) -> bool {
        let Route::Other(path) = self else { return false };
        let first = path.split('/').find(|p| !p.is_empty()).unwrap_or_default();
        matches!(first, "healthz" | "livez" | "readyz" | "version")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        for (target, expect) in [
            ("/api/v1/namespaces/a/pods/p/log?follow=true", Some(("pods", "a", "p", "log", false))),
            ("/apis/apps/v1/deployments", Some(("deployments", "", "", "", false))),
            ("/api/v1/namespaces/a", Some(("namespaces", "", "a", "", false))),
            ("/api/v1/namespaces/a/status", Some(("namespaces", "", "a", "status", false))),
            ("/api/v1/watch/namespaces/a/configmaps/c", Some(("configmaps", "a", "c", "", true))),
            ("/api/v1/nodes/n%2F1", Some(("nodes", "", "n/1", "", false))),
            ("/version", None),
            ("/api/v1", None),
            ("/api/v1/", None),
        ] {
            let found = match Route::parse(target) {
                Route::Resource { gvr, namespace, name, subresource, watch } => {
                    Some((gvr.resource.to_string(), namespace, name, subresource, watch))
                }
                Route::Other(_) => None,
            };
            let expect = expect.map(|(r, ns, n, s, w)| (r.to_owned(), ns.to_owned(), n.to_owned(), s.to_owned(), w));
            assert_eq!(found, expect, "{target}");
        }
    }
}
