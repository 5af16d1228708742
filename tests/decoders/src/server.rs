//! An API server that keeps nothing of what it is sent: every write is a dry run.

use apiserver::message::{Output, Request, StaticToken};
use apiserver::{ApiServer, Settings};
use object::{Bytes, Time, json};

/// The server, with one object of some kinds.
pub struct Server {
    api: ApiServer,
    stream: u64,
    accepted: u64,
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const PODS: &str = "/api/v1/namespaces/default/pods";
const THINGS: &str = "/apis/fuzz.example.com/v1/namespaces/default/things";

impl Default for Server {
    fn default() -> Self {
        let token = StaticToken {
            token: "t".into(),
            user: "admin".into(),
            groups: vec!["system:masters".into()],
            ..StaticToken::default()
        };
        let mut api = ApiServer::new(Settings { tokens: vec![token], ..Settings::default() });
        api.start(Time::from_secs(1_800_000_000), 0);
        let mut server = Server { api, stream: 0, accepted: 0 };
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        server.send("POST", "/api/v1/namespaces/default/serviceaccounts", "application/json", account.to_string().as_bytes());
        server.send("POST", DEFINITIONS, "application/json", include_bytes!("../corpus/definition/thing.json"));
        server.send("POST", PODS, "application/json", include_bytes!("../corpus/json/pod.json"));
        server.send("POST", THINGS, "application/json", include_bytes!("../corpus/json/thing.json"));
        server
    }
}

impl Server {
    fn send(&mut self, method: &str, target: &str, content_type: &str, body: &[u8]) {
        let headers = [("content-type", content_type), ("authorization", "Bearer t")];
        self.request(method, target, &headers, body);
    }

    fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.stream += 1;
        let request = Request {
            stream: self.stream,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            body: Bytes::copy_from_slice(body),
            certificate: None,
            peer: String::new(),
        };
        self.api.handle(Time::from_secs(1_800_000_000), request);
        let outputs = self.api.take_outputs();
        let mut answers = outputs.iter().filter_map(|output| match output {
            Output::Respond { status, .. } | Output::Open { status, .. } => Some(*status),
            _ => None,
        });
        let status = answers.next().unwrap_or_else(|| panic!("{method} {target} was not answered"));
        self.accepted += u64::from(status < 300);
        self.api.closed(self.stream);
    }

    /// How many requests had an answer that was no error.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Creates: a pod of these bytes, and a custom object.
    pub fn create(&mut self, content_type: &str, body: &[u8]) {
        for collection in [PODS, THINGS, "/apis/apps/v1/namespaces/default/deployments"] {
            self.send("POST", &format!("{collection}?dryRun=All&fieldValidation=Strict"), content_type, body);
        }
    }

    /// Patches a pod and a custom object.
    pub fn patch(&mut self, content_type: &str, body: &[u8]) {
        for object in [format!("{PODS}/web"), format!("{THINGS}/one")] {
            self.send("PATCH", &format!("{object}?dryRun=All&fieldManager=fuzz"), content_type, body);
        }
    }

    /// Creates a definition of custom resources.
    pub fn define(&mut self, body: &[u8]) {
        self.send("POST", &format!("{DEFINITIONS}?dryRun=All"), "application/json", body);
    }

    /// Lists with this query: selectors, pages, versions.
    pub fn list(&mut self, query: &[u8]) {
        let query: String = String::from_utf8_lossy(query).chars().filter(|c| !c.is_control()).collect();
        for collection in [PODS, THINGS] {
            self.send("GET", &format!("{collection}?{query}"), "", b"");
        }
    }

    /// Asks who bears this token.
    pub fn identify(&mut self, token: &[u8]) {
        let bearer = format!("Bearer {}", String::from_utf8_lossy(token));
        self.request("GET", "/api/v1/namespaces", &[("authorization", &bearer)], b"");
    }
}
