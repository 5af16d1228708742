//! Paths.

use object::GroupVersionResource;
use object::selector::{FieldOperator, FieldTerm};

use super::query::{Query, decode};
use crate::auth::Attributes;

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

    /// The group and version that a path is in.
    pub fn group_version(&self) -> Option<(&str, &str)> {
        match self {
            Route::Resource { gvr, .. } => Some((&gvr.group, &gvr.version)),
            Route::Other(path) => {
                // A document about a group is its server's as well.
                let path = path.strip_prefix("/openapi/v3").unwrap_or(path);
                let mut parts = path.strip_prefix("/apis/")?.split('/').filter(|part| !part.is_empty());
                Some((parts.next()?, parts.next()?))
            }
        }
    }

    /// Which verb of the API this method is on this path; for what is no resource, the method itself in lower case.
    pub fn verb(&self, method: &str, query: &Query) -> String {
        let Route::Resource { name, watch, .. } = self else { return method.to_lowercase() };
        let collection = name.is_empty();
        let verb = match method {
            "GET" | "HEAD" if *watch || (collection && query.flag("watch")) => "watch",
            "GET" | "HEAD" if collection => "list",
            "GET" | "HEAD" => "get",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" if collection => "deletecollection",
            "DELETE" => "delete",
            other => return other.to_lowercase(),
        };
        verb.to_owned()
    }

    /// What authorization is asked about this request.
    pub fn attributes<'a>(&'a self, verb: &'a str, fields: &'a [FieldTerm]) -> Attributes<'a> {
        // A list of one name is a matter of that name.
        let selected = fields.iter().find(|term| {
            matches!(verb, "list" | "watch" | "deletecollection")
                && term.field == "metadata.name"
                && term.operator == FieldOperator::Equals
        });
        match self {
            Route::Resource { gvr, namespace, name, subresource, .. } => {
                // A Namespace counts as standing in itself.
                let is_namespace = gvr.group.is_empty() && &*gvr.resource == "namespaces";
                Attributes {
                    verb,
                    group: &gvr.group,
                    version: &gvr.version,
                    resource: &gvr.resource,
                    subresource,
                    namespace: if is_namespace { name } else { namespace },
                    name: if name.is_empty() { selected.map(|term| term.value.as_str()).unwrap_or_default() } else { name },
                    path: "",
                    fields,
                }
            }
            Route::Other(path) => Attributes { verb, path, ..Attributes::default() },
        }
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
