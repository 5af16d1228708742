//! Where webhooks and aggregated API servers are, and what is sent to them.
//!
//! A Service is reached at one of its ready endpoints, as kube-apiserver does with `--enable-aggregator-routing`: that
//! needs no proxy of Services on the host.

use std::collections::BTreeSet;

use object::value::{i64_at, list_at, str_at};
use object::{GroupResource, Value};
use store::Key;

use crate::identity;
use crate::message::{Outgoing, Reply, Request, Trust, Upstream};
use crate::server::ApiServer;

/// How long to wait where nothing is said.
const DEFAULT_SECONDS: i64 = 30;

/// A JSON body for the webhook that `config` (`WebhookClientConfig`) names, or in Go's words why it cannot be sent.
pub(crate) fn question(api: &ApiServer, config: &Value, seconds: Option<i64>, body: &Value) -> Result<Outgoing, String> {
    let place = Place::of(config);
    let target = place.target(seconds);
    let failed = |why: String| format!("Post {:?}: {why}", place.url(seconds));
    let (address, address_port) = match &place.service {
        None => (place.host.clone(), place.port),
        Some((namespace, name)) => endpoint(api, namespace, name, place.port).map_err(failed)?,
    };
    let Place { host, port, .. } = place;
    let upstream = Upstream { host, port, address, address_port, trust: trust(config), ..Upstream::default() };
    let headers = [("accept", "application/json"), ("content-type", "application/json")];
    Ok(Outgoing {
        upstream,
        method: "POST".to_owned(),
        target,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: body.to_string().into(),
        timeout_millis: u32::try_from(seconds.unwrap_or(DEFAULT_SECONDS) * 1000).unwrap_or(u32::MAX),
    })
}

/// The JSON that came back, or in Go's words why there is none.
pub(crate) fn json_answer(config: &Value, seconds: Option<i64>, reply: Reply) -> Result<Value, String> {
    let place = Place::of(config);
    let answered = reply.map_err(|why| format!("Post {:?}: {why}", place.url(seconds)))?;
    match answered.status {
        200..=299 => serde_json::from_slice(&answered.body).map_err(|why| format!("couldn't decode the answer as JSON: {why}")),
        404 => Err("the server could not find the requested resource".to_owned()),
        401 => Err("the server has asked for the client to provide credentials".to_owned()),
        403 => Err("forbidden: User \"\" cannot post path".to_owned()),
        503 => Err("the server is currently unable to handle the request".to_owned()),
        _ => {
            let said = String::from_utf8_lossy(&answered.body);
            let said: String = said.trim().chars().take(256).collect();
            let shown = if said.is_empty() { "unknown".to_owned() } else { said };
            Err(format!("an error on the server ({shown:?}) has prevented the request from succeeding"))
        }
    }
}

/// The headers of a request that go on to whoever answers it: not what proves to us who the user is.
pub(crate) fn passed_on(request: &Request) -> Vec<(String, String)> {
    let ours = |name: &str| {
        matches!(name, "authorization" | "x-forwarded-for") || name.starts_with("x-remote-") || name.starts_with("impersonate-")
    };
    let mut headers: Vec<(String, String)> = request.headers.iter().filter(|(name, _)| !ours(name)).cloned().collect();
    let said = identity::header(request, "x-forwarded-for").unwrap_or_default();
    let before = if said.is_empty() { String::new() } else { format!("{said}, ") };
    headers.push(("x-forwarded-for".to_owned(), format!("{before}{}", request.peer)));
    headers
}

/// Whose word the certificate of a webhook, or an aggregated API server, needs.
pub(crate) fn trust(config: &Value) -> Trust {
    if config.get("insecureSkipTLSVerify") == Some(&Value::Bool(true)) {
        return Trust::Anything;
    }
    let bundle = schema::base64::decode(str_at(config, &["caBundle"])).unwrap_or_default();
    if bundle.is_empty() { Trust::System } else { Trust::Authorities(String::from_utf8_lossy(&bundle).into_owned()) }
}

/// What a `WebhookClientConfig` says of the place.
struct Place {
    host: String,
    port: u16,
    path: String,
    /// Namespace and name of the Service, if it is one.
    service: Option<(String, String)>,
    /// How the host stands in URLs.
    authority: String,
}

impl Place {
    fn of(config: &Value) -> Self {
        let url = str_at(config, &["url"]);
        if url.is_empty() {
            let (namespace, name) = (str_at(config, &["service", "namespace"]), str_at(config, &["service", "name"]));
            let port = i64_at(config, &["service", "port"]).and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
            let host = format!("{name}.{namespace}.svc");
            let path = str_at(config, &["service", "path"]);
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            let authority = format!("{host}:{port}");
            return Place { host, port, path, service: Some((namespace.to_owned(), name.to_owned())), authority };
        }
        let rest = url.strip_prefix("https://").unwrap_or(url);
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(443)),
            _ => (authority, 443),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Place { host, port, path: path.to_owned(), service: None, authority: authority.to_owned() }
    }

    fn target(&self, seconds: Option<i64>) -> String {
        seconds.map_or_else(|| self.path.clone(), |seconds| format!("{}?timeout={seconds}s", self.path))
    }

    fn url(&self, seconds: Option<i64>) -> String {
        format!("https://{}{}", self.authority, self.target(seconds))
    }
}

/// Where a port of a Service is answered.
pub(crate) fn endpoint(api: &ApiServer, namespace: &str, name: &str, port: u16) -> Result<(String, u16), String> {
    let key = Key::new(&GroupResource::literal("", "services"), namespace, name);
    let Some(service) = api.store.get(&key) else { return Err(format!("service {name:?} not found")) };
    let service = service.value();
    if str_at(&service, &["spec", "type"]) == "ExternalName" {
        return Ok((str_at(&service, &["spec", "externalName"]).to_owned(), port));
    }
    let ports = list_at(&service, &["spec", "ports"]);
    let stated = ports.iter().find(|stated| i64_at(stated, &["port"]) == Some(i64::from(port)));
    let Some(stated) = stated else { return Err(format!("no service port {port} found for service {name:?}")) };
    let port_name = str_at(stated, &["name"]);
    let slices = GroupResource::literal("discovery.k8s.io", "endpointslices");
    let slices = api.store.list(&slices, Some(namespace));
    let mut found = BTreeSet::new();
    for slice in slices.filter(|slice| slice.meta.labels.get("kubernetes.io/service-name").is_some_and(|of| **of == *name)) {
        let slice = slice.value();
        let ports = list_at(&slice, &["ports"]).iter().filter(|port| str_at(port, &["name"]) == port_name);
        let Some(port) = ports.filter_map(|port| i64_at(port, &["port"])).find_map(|port| u16::try_from(port).ok()) else {
            continue;
        };
        for endpoint in list_at(&slice, &["endpoints"]) {
            let ready = endpoint.pointer("/conditions/ready").is_none_or(|ready| ready != &Value::Bool(false));
            if let Some(address) = list_at(endpoint, &["addresses"]).first().and_then(Value::as_str).filter(|_| ready) {
                found.insert((address.to_owned(), port));
            }
        }
    }
    // Any will do; spread by time, since this is no place for randomness that a retry would have to repeat.
    let turn = usize::try_from(api.now.0 / 1000).unwrap_or(0).checked_rem(found.len()).unwrap_or(0);
    found.into_iter().nth(turn).ok_or_else(|| format!("no endpoints available for service {name:?}"))
}
