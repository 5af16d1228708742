//! Paths.

use object::GroupVersionResource;

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
    },
    /// Anything else.
    Other(String),
}

impl Route {
    /// Reads a request target; the query is left to others.
    pub fn parse(target: &str) -> Self {
        let path = target.split('?').next().unwrap_or_default();
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Route::Other(path.to_owned()),
        };
        let resource = |namespace: &str, resource: &str, name: &str, subresource: &str| Route::Resource {
            gvr: GroupVersionResource::new(group, version, resource),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: subresource.to_owned(),
        };
        match rest {
            // A namespace's own subresources are those two; anything else below a namespace is a resource in it.
            ["namespaces", name, sub @ ("status" | "finalize")] => resource("", "namespaces", name, sub),
            ["namespaces", namespace, plural] => resource(namespace, plural, "", ""),
            ["namespaces", namespace, plural, name] => resource(namespace, plural, name, ""),
            ["namespaces", namespace, plural, name, sub] => resource(namespace, plural, name, sub),
            [plural] => resource("", plural, "", ""),
            [plural, name] => resource("", plural, name, ""),
            [plural, name, sub] => resource("", plural, name, sub),
            _ => Route::Other(path.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        for (target, expect) in [
            ("/api/v1/namespaces/a/pods/p/log?follow=true", Some(("pods", "a", "p", "log"))),
            ("/apis/apps/v1/deployments", Some(("deployments", "", "", ""))),
            ("/api/v1/namespaces/a", Some(("namespaces", "", "a", ""))),
            ("/api/v1/namespaces/a/status", Some(("namespaces", "", "a", "status"))),
            ("/version", None),
            ("/api/v1", None),
        ] {
            let found = match Route::parse(target) {
                Route::Resource { gvr, namespace, name, subresource } => {
                    Some((gvr.resource.to_string(), namespace, name, subresource))
                }
                Route::Other(_) => None,
            };
            let expect = expect.map(|(r, ns, n, s)| (r.to_owned(), ns.to_owned(), n.to_owned(), s.to_owned()));
            assert_eq!(found, expect, "{target}");
        }
    }
}
