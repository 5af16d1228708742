//! What is served: discovery in both forms, version, health.
//!
//! <https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api>

use object::order::Order as _;
use object::{ApiError, Reason, Result, Value, json};
use schema::{Group, Resource};

use super::query::Query;
use super::{Answer, render};
use crate::flow::dump;
use crate::health;
use crate::identity::header;
use crate::message::Request;
use crate::server::ApiServer;
use crate::{auth, metrics};

impl ApiServer {
    /// Answers what is not about a resource.
    pub(super) fn on_path(&mut self, request: &Request, path: &str, query: &Query) -> Result<Answer> {
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        let aggregated = wants_aggregated(request);
        match parts.as_slice() {
            [] => Ok(Answer::json(200, json!({"paths": self.paths()}).to_string())),
            ["version"] if request.method != "GET" => Err(ApiError::method_not_allowed()),
            ["version"] => Ok(Answer::json(200, version().to_string())),
            [endpoint @ ("healthz" | "livez" | "readyz"), check @ ..] => {
                health::remember(self);
                let answer = match check {
                    [] => Some(health::all(self, endpoint, query)),
                    _ => health::one(self, endpoint, &check.join("/")),
                };
                Ok(answer.map_or_else(Answer::no_page, |(status, text)| {
                    let mut answer = Answer::text(status, &text);
                    answer.headers.push(("x-content-type-options".to_owned(), "nosniff".to_owned()));
                    answer
                }))
            }
            ["api"] if aggregated => self.document(request, self.aggregated(true), AGGREGATED),
            ["apis"] if aggregated => self.document(request, self.aggregated(false), AGGREGATED),
            ["api"] => self.document(request, self.versions(), "application/json"),
            ["apis"] => self.document(request, self.group_list(), "application/json"),
            ["apis", group] => match self.registry.groups().iter().find(|g| &*g.name == *group) {
                Some(group) => {
                    let document = group_document(&group.name, group.versions.iter().map(|v| &**v), true);
                    self.document(request, document, "application/json")
                }
                None => match self.aggregation.groups().get(group) {
                    Some(versions) => {
                        let document = group_document(group, versions.iter().copied(), true);
                        self.document(request, document, "application/json")
                    }
                    None => Ok(Answer::no_page()),
                },
            },
            ["api", version] => self.resource_list(request, "", version),
            ["apis", group, version] => {
                if !self.registry.serves(group, version) && !self.registry.is_builtin_group(group) {
                    return Ok(Answer::no_page());
                }
                self.resource_list(request, group, version)
            }
            ["metrics"] => {
                Ok(Answer::new(200, "text/plain; version=0.0.4; charset=utf-8", metrics::render::text(self).into_bytes()))
            }
            ["debug", "api_priority_and_fairness", table] => {
                let details = matches!(query.get("includeRequestDetails"), "1" | "true");
                Ok(dump::table(&self.flow, table, details).map_or_else(Answer::no_page, |text| Answer::text(200, &text)))
            }
            ["debug", "causes", ..] => {
                let path = path.strip_prefix("/debug/causes").unwrap_or_default();
                Ok(Answer::json(200, self.causes_of(path)?.to_string()))
            }
            [".well-known", "openid-configuration"] => Ok(Answer::json(200, auth::token::discovery(self).to_string())),
            ["openid", "v1", "jwks"] => {
                Ok(Answer::new(200, "application/jwk-set+json", self.signer.key_set().to_string().into_bytes()))
            }
            ["openapi", rest @ ..] => self.on_openapi(request, rest, query),
            _ => Ok(Answer::no_page()),
        }
    }

    /// A discovery document in the form that is asked for, with a tag that changes when it does.
    fn document(&self, request: &Request, document: Value, content_type: &'static str) -> Result<Answer> {
        let accept = discovery_accept(request)?;
        let bytes = render::encode(&document, accept);
        let tag = format!("\"{:016X}\"", fingerprint(&bytes));
        if header(request, "if-none-match").is_some_and(|known| known == tag) {
            return Ok(Answer::new(304, content_type, ""));
        }
        let content_type = match accept {
            super::accept::Encoding::Json => content_type,
            super::accept::Encoding::Yaml => "application/yaml",
        };
        let mut answer = Answer::new(200, content_type, bytes);
        answer.headers.push(("etag".to_owned(), tag));
        answer.headers.push(("vary".to_owned(), "Accept".to_owned()));
        Ok(answer)
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned(), "/apis/".to_owned()];
        for group in self.registry.groups().iter().filter(|g| !g.name.is_empty()) {
            paths.push(format!("/apis/{}", group.name));
            paths.extend(group.versions.iter().map(|v| format!("/apis/{}/{v}", group.name)));
        }
        for check in ["healthz", "livez", "readyz"] {
            paths.push(format!("/{check}"));
            paths.extend(health::names(check).map(|name| format!("/{check}/{name}")));
        }
        paths.extend(["/openapi/v2", "/openapi/v3", "/version"].map(str::to_owned));
        paths.order();
        paths
    }

    fn versions(&self) -> Value {
        let address = format!("{}:{}", self.settings.advertise_address, self.settings.advertise_port);
        json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        })
    }

    fn group_list(&self) -> Value {
        let own = self.registry.groups().iter().filter(|g| !g.name.is_empty());
        let mut groups: Vec<Value> = own.map(|g| group_document(&g.name, g.versions.iter().map(|v| &**v), false)).collect();
        let others = self.aggregation.groups();
        groups.extend(others.iter().map(|(group, versions)| group_document(group, versions.iter().copied(), false)));
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    }

    fn resource_list(&self, request: &Request, group: &str, version: &str) -> Result<Answer> {
        if wants_aggregated(request) && !header(request, "accept").unwrap_or_default().contains(',') {
            return Err(not_acceptable());
        }
        if !self.registry.serves(group, version) {
            return Err(ApiError::no_such_path());
        }
        let resources: Vec<Value> = self.registry.resources_of(group, version).flat_map(|r| plain_entries(r)).collect();
        let mut list = json!({
            "kind": "APIResourceList",
            "groupVersion": object::GroupVersion::new(group, version).to_string(),
            "resources": resources,
        });
        if !group.is_empty() {
            list["apiVersion"] = "v1".into();
        }
        self.document(request, list, "application/json")
    }

    fn aggregated(&self, core: bool) -> Value {
        let mut items: Vec<Value> =
            self.registry.groups().iter().filter(|g| g.name.is_empty() == core).map(|g| self.aggregated_group(g)).collect();
        if !core {
            for (group, versions) in self.aggregation.groups() {
                let versions: Vec<Value> = versions.iter().map(|version| self.aggregated_version(group, version)).collect();
                items.push(json!({"metadata": {"name": group}, "versions": versions}));
            }
        }
        json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
    }

    /// A version that another server serves, as far as it has said what is in it.
    fn aggregated_version(&self, group: &str, version: &str) -> Value {
        let Some(list) = self.aggregation.resources(group, version) else {
            return json!({"version": version, "freshness": "Stale"});
        };
        let entries = object::value::list_at(list, &["resources"]);
        let name = |entry: &Value| object::value::str_at(entry, &["name"]).to_owned();
        let kind = |entry: &Value| {
            let said = |key: &str, or: &str| entry.get(key).and_then(Value::as_str).unwrap_or(or).to_owned();
            json!({"group": said("group", group), "version": said("version", version), "kind": said("kind", "")})
        };
        let main = entries.iter().filter(|entry| !name(entry).contains('/'));
        let resources: Vec<Value> = main
            .map(|entry| {
                let scope = if entry["namespaced"] == true { "Namespaced" } else { "Cluster" };
                let mut shown = json!({
                    "resource": name(entry), "responseKind": kind(entry), "scope": scope,
                    "singularResource": entry.get("singularName").cloned().unwrap_or_default(),
                    "verbs": entry.get("verbs").cloned().unwrap_or_default(),
                });
                for key in ["shortNames", "categories"] {
                    if let Some(list) = entry.get(key) {
                        shown[key] = list.clone();
                    }
                }
                let prefix = format!("{}/", name(entry));
                let below = entries.iter().filter_map(|sub| Some((sub, name(sub).strip_prefix(&prefix)?.to_owned())));
                let below: Vec<Value> = below
                    .map(|(sub, name)| json!({"subresource": name, "responseKind": kind(sub), "verbs": sub["verbs"]}))
                    .collect();
                if !below.is_empty() {
                    shown["subresources"] = below.into();
                }
                shown
            })
            .collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    }

    fn aggregated_group(&self, group: &Group) -> Value {
        let versions: Vec<Value> = group
            .versions
            .iter()
            .map(|version| {
                let resources: Vec<Value> =
                    self.registry.resources_of(&group.name, version).map(|r| aggregated_entry(r)).collect();
                json!({"version": &**version, "resources": resources, "freshness": "Current"})
            })
            .collect();
        let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": &*group.name}) };
        json!({"metadata": metadata, "versions": versions})
    }
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Whether the first form the client names that is spoken here is the aggregated one.
fn wants_aggregated(request: &Request) -> bool {
    let accept = header(request, "accept").unwrap_or_default();
    let first = accept.split(',').map(str::trim).find(|range| {
        let plain = matches!(*range, "application/json" | "*/*" | "application/yaml");
        plain || range.starts_with("application/json;") && is_aggregated(range)
    });
    first.is_some_and(is_aggregated)
}

fn is_aggregated(range: &str) -> bool {
    ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"].iter().all(|part| range.split(';').any(|p| p.trim() == *part))
}

fn discovery_accept(request: &Request) -> Result<super::accept::Encoding> {
    let accept = header(request, "accept").unwrap_or_default();
    if accept.is_empty() {
        return Ok(super::accept::Encoding::Json);
    }
    let mut json_named = false;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        match parts.next() {
            Some("application/yaml") => return Ok(super::accept::Encoding::Yaml),
            Some("application/json" | "*/*" | "application/*") => {
                json_named = true;
                if is_aggregated(range) || !parts.any(|p| p.starts_with("as=")) {
                    return Ok(super::accept::Encoding::Json);
                }
            }
            _ => {}
        }
    }
    if json_named {
        return Err(not_acceptable());
    }
    let mut error = not_acceptable();
    error.message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
        application/vnd.kubernetes.protobuf"
        .to_owned();
    Err(error)
}

fn not_acceptable() -> Box<ApiError> {
    ApiError::new(
        406,
        Reason::NotAcceptable,
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    )
}

fn group_document<'a>(group: &str, versions: impl Iterator<Item = &'a str>, alone: bool) -> Value {
    let version = |v: &str| json!({"groupVersion": format!("{group}/{v}"), "version": v});
    let versions: Vec<Value> = versions.map(version).collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    let mut document = json!({"name": group, "versions": versions, "preferredVersion": preferred});
    if alone {
        document["kind"] = "APIGroup".into();
        document["apiVersion"] = "v1".into();
    }
    document
}

/// A resource and its subresources as `/api/v1` lists them.
fn plain_entries(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": &*resource.gvr.resource, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": &*resource.kind.kind, "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        main["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        main["categories"] = json!(resource.categories);
    }
    if resource.allows("get") && resource.allows("create") {
        main["storageVersionHash"] = storage_version_hash(resource).into();
    }
    let mut entries = vec![main];
    for sub in &resource.subresources {
        let mut entry = json!({
            "name": format!("{}/{}", resource.gvr.resource, sub.name), "singularName": "",
            "namespaced": resource.namespaced, "kind": sub.kind, "verbs": sub.verbs,
        });
        if !sub.version.is_empty() {
            entry["group"] = sub.group.as_ref().into();
            entry["version"] = sub.version.as_ref().into();
        }
        entries.push(entry);
    }
    entries
}

fn aggregated_entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "resource": &*resource.gvr.resource,
        "responseKind": {"group": "", "version": "", "kind": &*resource.kind.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subresources: Vec<Value> = resource
        .subresources
        .iter()
        .map(|sub| {
            json!({
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": sub.verbs,
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

/// Clients compare it to see whether the form in which objects are kept has changed.
fn storage_version_hash(resource: &Resource) -> String {
    use base64::Engine as _;
    let kind = &resource.storage.kind;
    let hash = fingerprint(format!("{}/{}/{}", kind.group, kind.version, kind.kind).as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hash.to_be_bytes())
}

/// FNV-1a, 64 bits.
pub(super) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "35", "emulationMajor": "1", "emulationMinor": "35",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "34",
        "gitVersion": concat!("v1.35.0+wasmkube-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": "wasm",
    })
}
