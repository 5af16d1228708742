//! API groups that other servers serve: APIServices, whether these can be reached, and the requests that are passed on to them.
//!
//! What is served here has an APIService as well, which is made and removed with it.
//! <https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/>

use std::collections::BTreeMap;

use object::value::{at, i64_at, list_at, set, str_at};
use object::{ApiError, GroupResource, Reason, Time, Value, json};
use store::{Key, Progress};

use crate::calls::Work;
use crate::client::gvr;
use crate::edge::route::Route;
use crate::identity::UserInfo;
use crate::message::{Identity, Outgoing, Output, Relay, Request, Upstream};
use crate::server::ApiServer;
use crate::{upstream, write::DeleteOptions};

const GROUP: &str = "apiregistration.k8s.io";
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// How often a server is asked whether it is there.
const PROBE_SECONDS: u64 = 30;

/// How long it may take to say so.
const PROBE_TIMEOUT_MILLIS: u32 = 5_000;

/// Priorities of built-in groups, as kube-apiserver has them; those of custom resources come last.
const PRIORITIES: [(&str, i64); 22] = [
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("apiextensions.k8s.io", 16_700),
    ("admissionregistration.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
    ("internal.apiserver.k8s.io", 16_000),
    ("resource.k8s.io", 15_900),
    ("storagemigration.k8s.io", 15_800),
];

/// A group in a version.
/// For how long an answer serves the parts of the control plane that asked.
const FETCHED_SECONDS: u64 = 10;

/// How many answers are kept.
const MAX_FETCHED: usize = 256;

/// How long a part of the control plane waits for another server.
const FETCH_TIMEOUT_MILLIS: u32 = 10_000;

type GroupVersion = (String, String);

/// What other servers serve.
#[derive(Default)]
pub(crate) struct Aggregation {
    changed: bool,
    /// The APIServices that name a Service.
    remote: BTreeMap<GroupVersion, String>,
    /// The resources that these servers said they have.
    discovered: BTreeMap<GroupVersion, Value>,
    /// When each of them is asked next.
    due: BTreeMap<String, Time>,
    /// What they answered to parts of the control plane.
    fetched: BTreeMap<String, Fetched>,
}

impl Aggregation {
    /// Something at this key was written or removed.
    pub(crate) fn changed(&mut self, key: &Key) {
        let backs = matches!(&*key.resource.resource, "services" | "endpointslices");
        self.changed |= &*key.resource.group == GROUP || backs && !self.remote.is_empty();
    }

    /// Whether every APIService is heeded.
    pub(crate) fn is_settled(&self) -> bool {
        !self.changed
    }

    /// Whether every other server will be asked again how it is.
    pub(crate) fn looks_after_all(&self) -> bool {
        self.remote.values().all(|name| self.due.contains_key(name))
    }

    /// Keeps an answer.
    pub(crate) fn fetched(&mut self, at: Time, fetch: &Fetch, answer: object::Result<Value>) {
        self.fetched.insert(fetch.path.clone(), Fetched { at, answer: Some(answer) });
    }

    /// What is served here changed.
    pub(crate) fn registry_changed(&mut self) {
        self.changed = true;
    }

    /// Groups of other servers, each with its versions.
    pub(crate) fn groups(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (group, version) in self.remote.keys() {
            groups.entry(group).or_default().push(version);
        }
        groups
    }

    /// The resources of a version as its server listed them.
    pub(crate) fn resources(&self, group: &str, version: &str) -> Option<&Value> {
        self.discovered.get(&(group.to_owned(), version.to_owned()))
    }

    /// Whether another server serves this version.
    pub(crate) fn serves(&self, group: &str, version: &str) -> bool {
        !self.remote.is_empty() && self.remote.contains_key(&(group.to_owned(), version.to_owned()))
    }
}

fn services() -> GroupResource {
    GroupResource::literal(GROUP, "apiservices")
}

fn name_of(group: &str, version: &str) -> String {
    format!("{version}.{group}")
}

/// What is served here is available as soon as it is said to be.
pub(crate) fn prepare_for_create(service: &mut Value, now: Time) {
    if at(service, &["spec", "service"]).is_none_or(Value::is_null) {
        set_available(service, ("True", "Local", "Local APIServices are always available"), now);
    }
}

fn set_available(service: &mut Value, (status, reason, message): (&str, &str, &str), now: Time) {
    let mut condition = json!({
        "type": "Available", "status": status, "lastTransitionTime": now.rfc3339(), "reason": reason, "message": message,
    });
    let before = list_at(service, &["status", "conditions"]).iter().find(|c| str_at(c, &["type"]) == "Available");
    if let Some(before) = before.filter(|before| str_at(before, &["status"]) == status) {
        condition["lastTransitionTime"] = before["lastTransitionTime"].clone();
    }
    set(service, &["status", "conditions"], json!([condition]));
}

/// Makes and removes the APIServices of what is served here, and looks for those of others.
pub(crate) fn settle(api: &mut ApiServer, now: Time) {
    if !std::mem::take(&mut api.aggregation.changed) {
        return;
    }
    let mut wanted = BTreeMap::new();
    for group in api.registry.groups() {
        for (position, version) in group.versions.iter().enumerate() {
            let known = PRIORITIES.iter().find(|(name, _)| *name == &*group.name);
            let versions = i64::try_from(group.versions.len() - position).unwrap_or(1);
            let (minimum, priority) = known.map_or((1000, 100), |(_, minimum)| (*minimum, versions * 15));
            wanted.insert(name_of(&group.name, version), (group.name.clone(), version.clone(), minimum, priority));
        }
    }
    let user = UserInfo::apiserver();
    let services_gvr = gvr(GROUP, "v1", "apiservices");
    let there: Vec<(String, bool, Value)> = api
        .store
        .list(&services(), None)
        .map(|object| (object.key.name.to_string(), object.meta.labels.contains_key(AUTOMANAGED), object.value()))
        .collect();
    for (name, automanaged, _) in &there {
        if *automanaged && !wanted.contains_key(name) {
            // Whoever cannot be removed now is found again at the next change.
            let _ = api.client(now, &user).delete(&services_gvr, "", name, &DeleteOptions::default());
        }
    }
    let names: std::collections::BTreeSet<&String> = object::order::set(there.iter().map(|(name, ..)| name));
    for (name, (group, version, minimum, priority)) in wanted.iter().filter(|(name, _)| !names.contains(name)) {
        let managed = if PRIORITIES.iter().any(|(known, _)| *known == &**group) { "onstart" } else { "true" };
        let service = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": name, "labels": {AUTOMANAGED: managed}},
            "spec": {"group": &**group, "version": &**version, "groupPriorityMinimum": minimum, "versionPriority": priority},
        });
        let _ = api.client(now, &user).create(&services_gvr, "", service);
    }
    api.aggregation.changed = false;
    let mut remote = BTreeMap::new();
    for (name, _, service) in &there {
        if at(service, &["spec", "service"]).is_some_and(Value::is_object) {
            let of = (str_at(service, &["spec", "group"]).to_owned(), str_at(service, &["spec", "version"]).to_owned());
            remote.insert(of, name.clone());
        }
    }
    let aggregation = &mut api.aggregation;
    aggregation.discovered.retain(|of, _| remote.contains_key(of));
    aggregation.due = remote.values().map(|name| (name.clone(), now)).collect();
    aggregation.remote = remote;
}

/// Asks the servers that have to be asked by now.
pub(crate) fn run(api: &mut ApiServer, now: Time) -> Progress {
    let due: Vec<String> = api.aggregation.due.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
    for name in due {
        api.aggregation.due.insert(name.clone(), now.plus_secs(PROBE_SECONDS));
        let rng = api.rng.clone();
        if !probe(api, now, &name) {
            api.park(Work::Probe(name), now, rng);
        }
    }
    Progress { more: false, wake_at: api.aggregation.due.values().min().copied() }
}

/// Finds out whether the server of an APIService is there, and says so in its status; false if it must be asked first.
pub(crate) fn probe(api: &mut ApiServer, now: Time, name: &str) -> bool {
    let Some(stored) = api.store.get(&Key::new(&services(), "", name)).cloned() else { return true };
    let mut service = stored.value();
    let (group, version) = (str_at(&service, &["spec", "group"]).to_owned(), str_at(&service, &["spec", "version"]).to_owned());
    let (status, reason, message) = match place(api, &service) {
        Err((reason, message)) => ("False", reason, message),
        Ok(upstream) => {
            let target = format!("/apis/{group}/{version}");
            let url = format!("https://{}:{}{target}", upstream.address, upstream.address_port);
            let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
            headers.extend(remote_user(&UserInfo {
                name: "system:kube-aggregator".to_owned(),
                groups: vec!["system:masters".to_owned()],
                ..UserInfo::default()
            }));
            let method = "GET".to_owned();
            let question =
                Outgoing { upstream, method, target, headers, timeout_millis: PROBE_TIMEOUT_MILLIS, ..Outgoing::default() };
            let Ok(replies) = api.call(vec![question]) else { return false };
            match replies.into_iter().next() {
                Some(Ok(answer)) if (200..300).contains(&answer.status) => {
                    let list: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    api.aggregation.discovered.insert((group, version), list);
                    ("True", "Passed", "all checks passed".to_owned())
                }
                Some(Ok(answer)) => {
                    let why = format!("bad status from {url}: {}", answer.status);
                    ("False", "FailedDiscoveryCheck", format!("failing or missing response from {url}: {why}"))
                }
                Some(Err(why)) => {
                    let why = format!("Get {url:?}: {why}");
                    ("False", "FailedDiscoveryCheck", format!("failing or missing response from {url}: {why}"))
                }
                None => return true,
            }
        }
    };
    let before = service.get("status").cloned();
    set_available(&mut service, (status, reason, &message), now);
    if service.get("status") != before.as_ref() {
        let user = UserInfo::apiserver();
        // The next probe says it again.
        let _ = api.client(now, &user).update_status(&gvr(GROUP, "v1", "apiservices"), "", name, service);
        api.aggregation.changed = false;
    }
    true
}

/// Where an APIService's server is; else the reason and message of its condition.
fn place(api: &ApiServer, service: &Value) -> Result<Upstream, (&'static str, String)> {
    let (namespace, name) = (str_at(service, &["spec", "service", "namespace"]), str_at(service, &["spec", "service", "name"]));
    let port = i64_at(service, &["spec", "service", "port"]).and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
    if api.store.get(&Key::new(&GroupResource::literal("", "services"), namespace, name)).is_none() {
        return Err(("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")));
    }
    let (address, address_port) = upstream::endpoint(api, namespace, name, port).map_err(|why| {
        if why.starts_with("no service port") {
            ("ServicePortError", format!("service/{name} in {namespace:?} is not listening on port {port}"))
        } else {
            ("MissingEndpoints", format!("endpoints for service/{name} in {namespace:?} have no addresses with port name \"\""))
        }
    })?;
    let trust = upstream::trust(at(service, &["spec"]).unwrap_or(&Value::Null));
    Ok(Upstream {
        host: format!("{name}.{namespace}.svc"),
        port,
        address,
        address_port,
        trust,
        identity: Identity::FrontProxy,
        plain: false,
    })
}

/// What tells the other server who asks; it believes the front proxy's certificate.
fn remote_user(user: &UserInfo) -> Vec<(String, String)> {
    let mut headers = vec![("x-remote-user".to_owned(), user.name.clone())];
    if !user.uid.is_empty() {
        headers.push(("x-remote-uid".to_owned(), user.uid.clone()));
    }
    headers.extend(user.groups.iter().map(|group| ("x-remote-group".to_owned(), group.clone())));
    for (key, values) in &user.extra {
        let key = format!("x-remote-extra-{}", key.replace('%', "%25").replace('/', "%2f"));
        headers.extend(values.iter().map(|value| (key.clone(), value.clone())));
    }
    headers
}

/// The server of a group, if it is there and well.
fn way(api: &ApiServer, group: &str, version: &str) -> Option<Upstream> {
    let name = api.aggregation.remote.get(&(group.to_owned(), version.to_owned()))?;
    let service = api.store.get(&Key::new(&services(), "", name))?.value();
    let conditions = list_at(&service, &["status", "conditions"]);
    let available = conditions.iter().any(|c| str_at(c, &["type"]) == "Available" && str_at(c, &["status"]) == "True");
    place(api, &service).ok().filter(|_| available)
}

/// What a part of the control plane wants to read from another server.
pub(crate) struct Fetch {
    path: String,
    user: UserInfo,
}

/// What a server answered lately.
struct Fetched {
    at: Time,
    /// `None` while it is being asked.
    answer: Option<object::Result<Value>>,
}

/// What another server answers to a GET of this path, if it has been asked a moment ago; otherwise it is asked now, and the answer
/// is there the next time. `None` if no other server serves it.
pub(crate) fn fetch(api: &mut ApiServer, now: Time, user: &UserInfo, path: &str) -> Option<object::Result<Value>> {
    let route = Route::parse(path);
    let (group, version) = route.group_version()?;
    if !api.aggregation.serves(group, version) {
        return None;
    }
    if let Some(known) = api.aggregation.fetched.get(path).filter(|known| now.secs_since(known.at) < FETCHED_SECONDS) {
        return Some(known.answer.clone().unwrap_or_else(|| Err(ApiError::pending())));
    }
    let fetch = Fetch { path: path.to_owned(), user: user.clone() };
    let fetched = &mut api.aggregation.fetched;
    fetched.retain(|_, known| now.secs_since(known.at) < FETCHED_SECONDS);
    if fetched.len() >= MAX_FETCHED {
        return Some(Err(ApiError::new(429, Reason::TooManyRequests, "too many requests to other servers")));
    }
    fetched.insert(fetch.path.clone(), Fetched { at: now, answer: None });
    let rng = api.rng.clone();
    if !run_fetch(api, now, &fetch) {
        api.park(Work::Fetch(Box::new(fetch)), now, rng);
    }
    let known = api.aggregation.fetched.get(path)?;
    Some(known.answer.clone().unwrap_or_else(|| Err(ApiError::pending())))
}

/// Asks; false if the answer is still to come.
pub(crate) fn run_fetch(api: &mut ApiServer, now: Time, fetch: &Fetch) -> bool {
    let route = Route::parse(&fetch.path);
    let upstream = route.group_version().and_then(|(group, version)| way(api, group, version));
    let unavailable = || ApiError::new(503, Reason::ServiceUnavailable, "the server is currently unable to handle the request");
    let answer = match upstream {
        None => Err(unavailable()),
        Some(upstream) => {
            let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
            headers.extend(remote_user(&fetch.user));
            let question = Outgoing {
                upstream,
                method: "GET".to_owned(),
                target: fetch.path.clone(),
                headers,
                timeout_millis: FETCH_TIMEOUT_MILLIS,
                ..Outgoing::default()
            };
            let Ok(replies) = api.call(vec![question]) else { return false };
            match replies.into_iter().next() {
                Some(Ok(answer)) if (200..300).contains(&answer.status) => serde_json::from_slice(&answer.body)
                    .map_err(|why| ApiError::internal(format!("couldn't decode the answer: {why}"))),
                Some(Ok(answer)) => {
                    let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let message = match str_at(&status, &["message"]) {
                        "" => "the server is currently unable to handle the request",
                        message => message,
                    };
                    Err(ApiError::new(answer.status, Reason::Unknown, message))
                }
                Some(Err(why)) => Err(ApiError::new(503, Reason::ServiceUnavailable, why)),
                None => Err(unavailable()),
            }
        }
    };
    api.aggregation.fetched(now, fetch, answer);
    true
}

/// Passes a request on to the server that serves its group, and answers 503 if there is none to be found.
pub(crate) fn forward(api: &mut ApiServer, request: &Request, user: &UserInfo, group: &str, version: &str) {
    let upstream = way(api, group, version);
    let Some(upstream) = upstream else {
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        let body = b"service unavailable\n".to_vec().into();
        api.outputs.push(Output::Respond { stream: request.stream, status: 503, headers, body });
        return;
    };
    let mut headers = upstream::passed_on(request);
    headers.extend(remote_user(user));
    let outgoing = Outgoing {
        upstream,
        method: request.method.clone(),
        target: request.target.clone(),
        headers,
        body: request.body.clone(),
        timeout_millis: 0,
    };
    api.outputs.push(Output::Forward { stream: request.stream, node: String::new(), relay: Relay::Verbatim, outgoing });
}
