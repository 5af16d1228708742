//! The operations of a resource as OpenAPI path items.

use object::{Map, Value, json};

use super::Form;
use super::schemas::Wanted;
use crate::registry::Registry;
use crate::resource::{Resource, Subresource};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Adds all paths of `resource` to `out`.
pub(super) fn resource<'a>(
    registry: &Registry,
    resource: &'a Resource,
    form: Form,
    wanted: &mut Wanted<'a>,
    out: &mut Map<String, Value>,
) {
    let (group, version, plural) = (&*resource.gvr.group, &*resource.gvr.version, &*resource.gvr.resource);
    let root = format!("/{}", super::document_path(group, version));
    let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{scope}/{plural}");
    let mut at = Paths { resource, form, wanted };
    if let Some(item) = at.item(&[("list", "get"), ("create", "post"), ("deletecollection", "delete")], false) {
        out.insert(collection.clone(), item);
    }
    if resource.namespaced
        && let Some(item) = at.everywhere()
    {
        out.insert(format!("{root}/{plural}"), item);
    }
    if let Some(item) = at.item(&[("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")], true) {
        out.insert(format!("{collection}/{{name}}"), item);
    }
    for sub in &resource.subresources {
        let item = at.subresource(registry, sub);
        out.insert(format!("{collection}/{{name}}/{}", sub.name), item);
    }
}

struct Paths<'w, 'a> {
    resource: &'a Resource,
    form: Form,
    wanted: &'w mut Wanted<'a>,
}

impl Paths<'_, '_> {
    /// A path with those of the verbs that the resource allows; `None` if it allows none.
    fn item(&mut self, verbs: &[(&str, &str)], named: bool) -> Option<Value> {
        let mut item = Map::new();
        for (verb, method) in verbs.iter().filter(|(verb, _)| self.resource.allows(verb)) {
            let operation = self.operation(verb);
            item.insert((*method).to_owned(), operation);
        }
        if item.is_empty() {
            return None;
        }
        item.insert("parameters".to_owned(), self.shared_parameters(self.resource.namespaced, named));
        Some(Value::Object(item))
    }

    /// The list over all namespaces.
    fn everywhere(&mut self) -> Option<Value> {
        if !self.resource.allows("list") {
            return None;
        }
        let mut operation = self.operation("list");
        if let Some(id) = operation.get_mut("operationId") {
            *id = format!("{}ForAllNamespaces", id.as_str().unwrap_or("").replace("Namespaced", "")).into();
        }
        Some(json!({"get": operation, "parameters": self.shared_parameters(false, false)}))
    }

    fn operation(&mut self, verb: &str) -> Value {
        let kind = self.wanted.kind(self.resource);
        let list = self.wanted.list(self.resource);
        let status = self.wanted.named(&format!("{META}.Status"));
        let options = self.wanted.named(&format!("{META}.DeleteOptions"));
        let patch = self.wanted.named(&format!("{META}.Patch"));
        let (action, answer, body) = match verb {
            "list" => ("list", list, None),
            "create" => ("post", kind.clone(), Some(kind)),
            "deletecollection" => ("deletecollection", status, Some(options)),
            "get" => ("get", kind, None),
            "update" => ("put", kind.clone(), Some(kind)),
            "patch" => ("patch", kind, Some(patch)),
            _ => ("delete", status, Some(options)),
        };
        let names = (&*self.resource.kind.group, &*self.resource.kind.version, &*self.resource.kind.kind);
        self.describe(verb, action, "", names, &answer, body)
    }

    fn subresource(&mut self, registry: &Registry, sub: &Subresource) -> Value {
        let own = &self.resource.kind;
        let group = if sub.group.is_empty() { &*own.group } else { sub.group.as_ref() };
        let version = if sub.version.is_empty() { &*own.version } else { sub.version.as_ref() };
        let kind = object::GroupVersionKind::new(group, version, &sub.kind);
        let body = match registry.kind_type(&kind) {
            _ if sub.kind == *own.kind => self.wanted.kind(self.resource),
            Some(ty) => self.wanted.named(ty.name()),
            // Streams and proxies answer what the other side says.
            None => json!({"type": "string"}),
        };
        let patch = self.wanted.named(&format!("{META}.Patch"));
        let mut item = Map::new();
        for verb in &sub.verbs {
            let (method, action, request) = match verb.as_ref() {
                "get" => ("get", "get", None),
                "create" if matches!(body.get("$ref"), Some(Value::String(_))) => ("post", "post", Some(body.clone())),
                "create" => ("post", "connect", None),
                "update" => ("put", "put", Some(body.clone())),
                "patch" => ("patch", "patch", Some(patch.clone())),
                _ => ("delete", "delete", None),
            };
            let operation = self.describe(verb, action, &sub.name, (group, version, &sub.kind), &body, request);
            item.insert(method.to_owned(), operation);
        }
        item.insert("parameters".to_owned(), self.shared_parameters(self.resource.namespaced, true));
        Value::Object(item)
    }

    fn describe(
        &self,
        verb: &str,
        action: &str,
        sub: &str,
        (group, version, kind): (&str, &str, &str),
        answer: &Value,
        body: Option<Value>,
    ) -> Value {
        let resource = self.resource;
        let mut operation = Map::new();
        let mut put = |key: &str, value: Value| drop(operation.insert(key.to_owned(), value));
        put("operationId", operation_id(resource, verb, sub).into());
        put(
            "description",
            format!("{action} {} {}", if verb == "list" { "objects of kind" } else { "the specified" }, kind).into(),
        );
        put("tags", json!([tag(resource)]));
        put("x-kubernetes-action", action.into());
        put("x-kubernetes-group-version-kind", json!({"group": group, "version": version, "kind": kind}));
        let mut parameters = parameters(verb, self.form);
        let codes: &[&str] = match verb {
            "create" => &["200", "201", "202"],
            "update" | "patch" => &["200", "201"],
            "delete" => &["200", "202"],
            _ => &["200"],
        };
        let mut responses = Map::new();
        for code in codes {
            let description = match *code {
                "201" => "Created",
                "202" => "Accepted",
                _ => "OK",
            };
            let response = match self.form {
                Form::V3 => json!({"description": description, "content": content(verb, answer)}),
                Form::V2 => json!({"description": description, "schema": answer}),
            };
            responses.insert((*code).to_owned(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        put("responses", Value::Object(responses));
        match (self.form, body) {
            (_, None) => {}
            (Form::V3, Some(body)) => {
                let required = !verb.starts_with("delete");
                put("requestBody", json!({"content": request_content(verb, &body), "required": required}));
            }
            (Form::V2, Some(body)) => {
                let required = !verb.starts_with("delete");
                parameters.insert(0, json!({"name": "body", "in": "body", "required": required, "schema": body}));
            }
        }
        put("parameters", Value::Array(parameters));
        Value::Object(operation)
    }

    fn shared_parameters(&self, namespace: bool, name: bool) -> Value {
        let mut out = Vec::new();
        if name {
            out.push(path_parameter("name", &format!("name of the {}", self.resource.kind.kind), self.form));
        }
        if namespace {
            let what = "object name and auth scope, such as for teams and projects";
            out.push(path_parameter("namespace", what, self.form));
        }
        out.push(query("pretty", "string", "If 'true', then the output is pretty printed.", self.form));
        Value::Array(out)
    }
}

fn content(verb: &str, schema: &Value) -> Value {
    let mut types = vec!["application/json", "application/yaml"];
    if verb == "list" {
        types.push("application/json;stream=watch");
    }
    types.into_iter().map(|t| (t.to_owned(), json!({"schema": schema}))).collect::<Map<_, _>>().into()
}

fn request_content(verb: &str, schema: &Value) -> Value {
    let types: &[&str] = match verb {
        "patch" => &[
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ],
        _ => &["*/*"],
    };
    types.iter().map(|t| ((*t).to_owned(), json!({"schema": schema}))).collect::<Map<_, _>>().into()
}

fn path_parameter(name: &str, description: &str, form: Form) -> Value {
    match form {
        Form::V3 => {
            json!({"name": name, "in": "path", "required": true, "description": description, "schema": {"type": "string", "uniqueItems": true}})
        }
        Form::V2 => {
            json!({"name": name, "in": "path", "required": true, "description": description, "type": "string", "uniqueItems": true})
        }
    }
}

fn query(name: &str, kind: &str, description: &str, form: Form) -> Value {
    match form {
        Form::V3 => {
            json!({"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": true}})
        }
        Form::V2 => json!({"name": name, "in": "query", "description": description, "type": kind, "uniqueItems": true}),
    }
}

const SELECTION: [(&str, &str, &str); 10] = [
    ("allowWatchBookmarks", "boolean", "Asks for watch events of type BOOKMARK."),
    ("continue", "string", "Continues a list where the server cut it off."),
    ("fieldSelector", "string", "Restricts the objects by their fields."),
    ("labelSelector", "string", "Restricts the objects by their labels."),
    ("limit", "integer", "The largest number of objects of one answer."),
    ("resourceVersion", "string", "A constraint on the version of the answer."),
    ("resourceVersionMatch", "string", "How resourceVersion is applied to a list."),
    ("sendInitialEvents", "boolean", "Begins a watch with the objects there are."),
    ("timeoutSeconds", "integer", "How long the call may last."),
    ("watch", "boolean", "Watches for changes instead of listing."),
];
const DRY_RUN: (&str, &str, &str) = ("dryRun", "string", "All: the request is checked but changes nothing.");
const WRITING: [(&str, &str, &str); 2] = [
    ("fieldManager", "string", "The name of the actor that makes these changes."),
    ("fieldValidation", "string", "What to do with unknown and duplicate fields: Ignore, Warn or Strict."),
];
const DELETING: [(&str, &str, &str); 4] = [
    ("gracePeriodSeconds", "integer", "How long the object may take to end."),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Deletes an object that cannot be read."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "Whether and how dependents are deleted: Orphan, Background or Foreground."),
];

fn parameters(verb: &str, form: Form) -> Vec<Value> {
    let mut out = Vec::new();
    let mut add = |all: &[(&str, &str, &str)]| out.extend(all.iter().map(|(n, t, d)| query(n, t, d, form)));
    match verb {
        "list" => add(&SELECTION),
        "create" | "update" => {
            add(&[DRY_RUN]);
            add(&WRITING);
        }
        "patch" => {
            add(&[DRY_RUN]);
            add(&WRITING);
            add(&[("force", "boolean", "Takes over fields that others own.")]);
        }
        "delete" => {
            add(&[DRY_RUN]);
            add(&DELETING);
        }
        "deletecollection" => {
            add(&[DRY_RUN]);
            add(&DELETING);
            add(&SELECTION[1..7]);
        }
        _ => {}
    }
    out
}

/// `apps_v1`, `core_v1`, `rbacAuthorization_v1`: groups without their `k8s.io`, in camel case.
fn tag(resource: &Resource) -> String {
    let group = group_name(resource);
    let mut chars = group.chars();
    let lower = chars.next().map(|c| c.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default();
    format!("{lower}_{}", resource.gvr.version)
}

fn group_name(resource: &Resource) -> String {
    let group = if resource.gvr.group.is_empty() { "core" } else { &resource.gvr.group };
    let short = group.strip_suffix(".k8s.io").unwrap_or(group);
    short.split('.').map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

/// `readAppsV1NamespacedDeployment`: what generated clients call the operation.
fn operation_id(resource: &Resource, verb: &str, sub: &str) -> String {
    let action = match verb {
        "get" => "read",
        "update" => "replace",
        "deletecollection" => "delete",
        other => other,
    };
    let namespaced = if resource.namespaced { "Namespaced" } else { "" };
    let scope = if verb == "deletecollection" { format!("Collection{namespaced}") } else { namespaced.to_owned() };
    let version = capital(&resource.gvr.version);
    format!("{action}{}{version}{scope}{}{}", group_name(resource), resource.kind.kind, capital(sub))
}
