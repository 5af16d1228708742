//! Every resource that Kubernetes serves is served, with its verbs and subresources and no others, and every verb of each works.
//!
//! What is to be served stands in `tests/fixtures/discovery.json`, an object for each kind in `tests/fixtures/minimal.yaml`.

use std::collections::BTreeMap;

use object::{Value, json};

use crate::{Server, answer, events};

/// What kube-apiserver v1.35 serves.
const DISCOVERY: &str = include_str!("../../../../tests/fixtures/discovery.json");

/// The least of each kind.
const MINIMAL: &str = include_str!("../fixtures/minimal.yaml");

/// Subresources whose answers come from a node or a pod.
const CONNECTED: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

/// Each patch's media type; the patch sets this annotation.
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

fn wanted() -> Value {
    serde_json::from_str(DISCOVERY).expect("the fixture is JSON")
}

fn base(group_version: &str) -> String {
    if group_version.contains('/') { format!("/apis/{group_version}") } else { format!("/api/{group_version}") }
}

/// Brings a discovery document into the fixture's form.
fn served(server: &mut Server, group_version: &str) -> BTreeMap<String, Value> {
    let list = server.get(&base(group_version)).1;
    let mut found = BTreeMap::new();
    for mut entry in list["resources"].as_array().cloned().unwrap_or_default() {
        let fields = entry.as_object_mut().expect("an entry is an object");
        let name = fields.remove("name").and_then(|n| n.as_str().map(str::to_owned)).unwrap_or_default();
        fields.remove("storageVersionHash");
        match name.split_once('/') {
            None => drop(found.insert(name, entry)),
            Some((parent, subresource)) => {
                fields.retain(|key, _| ["group", "kind", "verbs", "version"].contains(&key.as_str()));
                found.entry(parent.to_owned()).or_insert_with(|| json!({}))["subresources"][subresource] = entry;
            }
        }
    }
    found
}

#[test]
fn discovery_says_what_kubernetes_says_nothing_missing_and_nothing_extra() {
    let (mut server, wanted) = (Server::new(), wanted());
    let group = |g: &Value| {
        let versions: Vec<&str> = g["versions"].as_array().unwrap().iter().filter_map(|v| v["version"].as_str()).collect();
        json!({"name": g["name"], "versions": versions, "preferred": g["preferredVersion"]["version"]})
    };
    let groups: Vec<Value> = server.get("/apis").1["groups"].as_array().unwrap().iter().map(group).collect();
    let core = json!({"name": "", "versions": ["v1"], "preferred": "v1"});
    assert_eq!(wanted["groups"], Value::from_iter(std::iter::once(core).chain(groups)));

    let mut differences = Vec::new();
    for group in wanted["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let (name, version) = (group["name"].as_str().unwrap(), version.as_str().unwrap());
            let group_version = if name.is_empty() { version.to_owned() } else { format!("{name}/{version}") };
            let ours = served(&mut server, &group_version);
            let prefix = format!("{group_version}/");
            let theirs: BTreeMap<&str, &Value> = wanted["resources"]
                .as_object()
                .unwrap()
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value)))
                .filter(|(key, _)| !key.contains('/'))
                .collect();
            let names = ours.keys().map(String::as_str).chain(theirs.keys().copied());
            for resource in names.collect::<std::collections::BTreeSet<_>>() {
                let (ours, theirs) = (ours.get(resource).unwrap_or(&Value::Null), theirs.get(resource).copied());
                if theirs.unwrap_or(&Value::Null) != ours {
                    differences.push(format!("{prefix}{resource}: {ours} instead of {theirs:?}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// One built-in resource under test.
struct Subject<'a> {
    server: &'a mut Server,
    /// `v1/pods`.
    key: &'a str,
    /// What discovery says of it.
    entry: &'a Value,
    /// The object to create.
    object: Value,
    /// Path of the collection.
    collection: String,
    /// What worked, as the table shows it.
    done: Vec<String>,
}

impl Subject<'_> {
    fn one(&self) -> String {
        format!("{}/{}", self.collection, self.object["metadata"]["name"].as_str().unwrap_or_default())
    }

    fn has(&self, verb: &str) -> bool {
        self.entry["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|v| v == verb))
    }

    /// Asks; panics with the whole answer if it is not one of the good ones.
    fn ask(&mut self, what: &str, method: &str, target: &str, body: Value) -> Value {
        let (status, answer) = self.server.ask(method, target, body);
        assert!((200..300).contains(&status), "{} {what}: {status} {answer}", self.key);
        self.done.push(what.to_owned());
        answer
    }

    fn patch(&mut self, what: &str, target: &str, media_type: &str, patch: &Value) -> Value {
        let outputs = self.server.send("PATCH", target, &[("content-type", media_type)], patch.to_string().as_bytes());
        let (status, answer) = answer(&outputs);
        assert!((200..300).contains(&status), "{} {what}: {status} {answer}", self.key);
        self.done.push(what.to_owned());
        answer
    }

    fn create(&mut self, what: &str) -> Value {
        let (collection, object) = (self.collection.clone(), self.object.clone());
        self.ask(what, "POST", &collection, object)
    }

    /// Reads, in all three ways.
    fn read(&mut self) {
        let (one, collection, name) = (self.one(), self.collection.clone(), self.object["metadata"]["name"].clone());
        let got = self.ask("get", "GET", &one, Value::Null);
        assert_eq!(got["metadata"]["name"], name, "{}", self.key);
        let list = self.ask("list", "GET", &collection, Value::Null);
        assert!(list["items"].as_array().unwrap().iter().any(|item| item["metadata"]["name"] == name), "{}", self.key);
        if self.has("watch") {
            let seen = events(&self.server.send("GET", &format!("{collection}?watch=true"), &[], b""));
            assert!(seen.contains(&("ADDED".into(), name.as_str().unwrap_or_default().into())), "{}: {seen:?}", self.key);
            self.done.push("watch".to_owned());
        }
    }

    /// Changes, in all five ways.
    fn change(&mut self) {
        let one = self.one();
        let mut object = self.ask("get", "GET", &one, Value::Null);
        object["metadata"]["labels"]["changed"] = json!("by-update");
        let updated = self.ask("update", "PUT", &one, object);
        assert_eq!(updated["metadata"]["labels"]["changed"], "by-update", "{}", self.key);
        for (media_type, what) in PATCHES.into_iter().zip(["json", "merge", "strategic", "apply"]) {
            let mut patch = json!({"metadata": {"labels": {"changed": what}}});
            let mut target = one.clone();
            match what {
                "json" => patch = json!([{"op": "add", "path": "/metadata/labels/changed", "value": what}]),
                "apply" => {
                    (patch["apiVersion"], patch["kind"]) = (self.object["apiVersion"].clone(), self.object["kind"].clone());
                    target.push_str("?fieldManager=test&force=true");
                }
                _ => {}
            }
            let patched = self.patch(&format!("patch {what}"), &target, media_type, &patch);
            assert_eq!(patched["metadata"]["labels"]["changed"], what, "{}", self.key);
        }
    }

    /// Goes through its subresources.
    fn subresources(&mut self) {
        let subresources = self.entry["subresources"].as_object().cloned().unwrap_or_default();
        let mut rest: Vec<_> = subresources.iter().filter(|(name, _)| !CONNECTED.contains(&name.as_str())).collect();
        // Nothing is left after an eviction.
        rest.sort_by_key(|(name, _)| *name == "eviction");
        for (name, entry) in rest {
            let target = format!("{}/{name}", self.one());
            let verbs: Vec<&str> = entry["verbs"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            for verb in &verbs {
                let before = if verbs.contains(&"get") {
                    self.ask(&format!("{name} get"), "GET", &target, Value::Null)
                } else {
                    let one = self.one();
                    self.ask("get", "GET", &one, Value::Null)
                };
                let what = format!("{name} {verb}");
                match *verb {
                    "get" => {}
                    "update" => drop(self.ask(&what, "PUT", &target, before)),
                    "create" => {
                        let body = body_of(self, name, entry);
                        self.ask(&what, "POST", &target, body);
                        if name == "eviction" {
                            self.create("create");
                        }
                    }
                    "patch" => self.patch_subresource(name, &target, &before),
                    other => panic!("{}: no idea how to {other} {name}", self.key),
                }
            }
        }
    }

    fn patch_subresource(&mut self, name: &str, target: &str, before: &Value) {
        for (media_type, what) in PATCHES.into_iter().zip(["json", "merge", "strategic", "apply"]) {
            let mut patch = match name {
                "scale" => json!({"spec": {"replicas": 2}}),
                _ => json!({"metadata": {"annotations": {"patched": what}}}),
            };
            let mut target = target.to_owned();
            match what {
                "json" => patch = json!([{"op": "test", "path": "/kind", "value": before["kind"]}]),
                "apply" => {
                    (patch["apiVersion"], patch["kind"]) = (before["apiVersion"].clone(), before["kind"].clone());
                    target.push_str("?fieldManager=test&force=true");
                }
                _ => {}
            }
            self.patch(&format!("{name} patch {what}"), &target, media_type, &patch);
        }
    }

    /// Deletes it alone, then, made again, with all of its kind.
    fn delete(&mut self) {
        let one = self.one();
        self.ask("delete", "DELETE", &one, Value::Null);
        self.end();
        assert_eq!(self.server.get(&one).0, 404, "{} is gone", self.key);
        if self.has("deletecollection") {
            self.create("create");
            let target = format!(
                "{}?fieldSelector=metadata.name%3D{}",
                self.collection,
                self.object["metadata"]["name"].as_str().unwrap()
            );
            self.ask("deletecollection", "DELETE", &target, Value::Null);
            self.end();
            assert_eq!(self.server.get(&one).0, 404, "{} is gone with the others", self.key);
        }
    }

    /// Does for finalizers what controllers do, which do not run here.
    fn end(&mut self) {
        let one = self.one();
        let (status, mut left) = self.server.get(&one);
        if status == 404 {
            return;
        }
        assert!(left["metadata"]["deletionTimestamp"].is_string(), "{}: {left}", self.key);
        if self.key == "v1/namespaces" {
            left["spec"]["finalizers"] = json!([]);
            self.ask("finalize", "PUT", &format!("{one}/finalize"), left);
        } else {
            self.patch("finalize", &one, PATCHES[1], &json!({"metadata": {"finalizers": null}}));
        }
    }
}

/// A body for a subresource that is only created.
fn body_of(subject: &Subject<'_>, name: &str, entry: &Value) -> Value {
    let api_version = match (entry["group"].as_str(), entry["version"].as_str()) {
        (Some(group), Some(version)) => format!("{group}/{version}"),
        _ => "v1".to_owned(),
    };
    let mut body = json!({"apiVersion": api_version, "kind": entry["kind"], "metadata": subject.object["metadata"]});
    match name {
        "binding" => body["target"] = json!({"kind": "Node", "name": "n"}),
        "token" => body["spec"] = json!({"audiences": ["a"]}),
        _ => {}
    }
    body
}

/// A server with what minimal objects lean on.
fn server() -> Server {
    let mut server = Server::new();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    server.post("/api/v1/namespaces/default/serviceaccounts", account);
    server
}

fn exercise(server: &mut Server, key: &str, entry: &Value, mut object: Value) -> String {
    let (group_version, resource) = key.rsplit_once('/').expect("a key has a resource");
    let place = if entry["namespaced"] == true { "/namespaces/default" } else { "" };
    let name = object.as_object_mut().and_then(|o| o.remove("name")).unwrap_or_else(|| json!("coverage"));
    (object["apiVersion"], object["kind"], object["metadata"]["name"]) = (json!(group_version), entry["kind"].clone(), name);
    if group_version.starts_with("authorization.k8s.io/") {
        // Access reviews have no names.
        object["metadata"] = json!({});
    }
    let collection = format!("{}{place}/{resource}", base(group_version));
    let mut subject = Subject { server, key, entry, object, collection, done: Vec::new() };
    if subject.has("list") && !subject.has("create") {
        let collection = subject.collection.clone();
        let list = subject.ask("list", "GET", &collection, Value::Null);
        let one = format!("{collection}/{}", list["items"][0]["metadata"]["name"].as_str().unwrap_or_default());
        subject.ask("get", "GET", &one, Value::Null);
    } else if key == "v1/bindings" {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": subject.object["metadata"]});
        pod["spec"] = json!({"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0});
        subject.server.post("/api/v1/namespaces/default/pods", pod);
        subject.create("create");
        let pod = subject.server.get("/api/v1/namespaces/default/pods/coverage").1;
        assert_eq!(pod["spec"]["nodeName"], "node", "a Binding binds the pod it names");
        subject.server.ask("DELETE", "/api/v1/namespaces/default/pods/coverage", Value::Null);
    } else {
        subject.create("create");
        if subject.has("get") {
            subject.read();
            subject.change();
            subject.subresources();
            subject.delete();
        }
    }
    let mut done = std::mem::take(&mut subject.done);
    done.sort();
    done.dedup();
    done.join(", ")
}

#[test]
fn every_verb_of_every_resource_works() {
    let minimal: BTreeMap<String, Value> = serde_saphyr::from_str(MINIMAL).expect("the fixture is YAML");
    let (mut server, wanted) = (server(), wanted());
    let mut table = Vec::new();
    let mut verbs = 0;
    for (key, entry) in wanted["resources"].as_object().unwrap() {
        let object = minimal.get(key).cloned().unwrap_or_else(|| json!({}));
        let done = exercise(&mut server, key, entry, object);
        for verb in entry["verbs"].as_array().unwrap().iter().filter_map(Value::as_str) {
            let used = done.split(", ").any(|d| d == verb || verb == "patch" && d == "patch apply");
            assert!(used, "{key}: {verb} was not exercised: {done}");
            verbs += 1;
        }
        table.push(format!("{key:<70} {done}"));
    }
    println!("{}\n{} resources, {verbs} verbs", table.join("\n"), table.len());
}
