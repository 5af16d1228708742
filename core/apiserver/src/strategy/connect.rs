//! Streams and proxies: exec, attach and portforward of pods, `proxy` of pods, services and nodes. Who may do it and whom it
//! reaches is decided here; the bytes pass by the control plane.
//!
//! <https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#manually-constructing-apiserver-proxy-urls>

use std::net::IpAddr;

use object::value::{i64_at, list_at, set, str_at};
use object::{ApiError, Reason, Result, Value, json};

use super::node_proxy::{chosen_container, encode, kubelet};
use crate::admission;
use crate::auth;
use crate::edge::query::Query;
use crate::identity::header;
use crate::message::{Outgoing, Output, Relay, Request, Trust, Upstream};
use crate::server::ApiServer;
use crate::upstream;
use crate::write::{Target, Write};

/// Whether somebody else answers what is asked of this subresource.
pub fn is_connect(target: &Target) -> bool {
    target.resource.custom.is_none()
        && target.resource.gvr.group.is_empty()
        && matches!(target.subresource.as_str(), "exec" | "attach" | "portforward" | "proxy")
}

/// Finds who answers and passes the request on.
pub fn connect(api: &mut ApiServer, request: &Request, write: &Write<'_>, query: &Query) -> Result<()> {
    let target = write.target;
    if target.subresource != "proxy" && is_websocket(request) {
        // A stream is opened, whatever the method says (KEP-4006).
        let (gvr, user) = (&target.resource.gvr, write.user);
        let attributes = auth::Attributes {
            verb: "create",
            group: &gvr.group,
            version: &gvr.version,
            resource: &gvr.resource,
            subresource: &target.subresource,
            namespace: &target.namespace,
            name: &target.name,
            ..auth::Attributes::default()
        };
        auth::check(api, user, &attributes)?;
    }
    let rest = rest_of_path(&request.target, target);
    let mut options = options(target, query, rest);
    admission::connect(api, write, &mut options)?;
    let way = match (&*target.resource.gvr.resource, target.subresource.as_str()) {
        ("nodes", _) => node(api, target)?,
        ("services", _) => service(api, target)?,
        (_, "proxy") => pod(api, target)?,
        _ => container(api, target, query)?,
    };
    let mut headers = upstream::passed_on(request);
    let (path, relay) = match way.path {
        Some(path) => {
            if header(request, "upgrade").is_none() {
                return Err(ApiError::bad_request("Upgrade request required"));
            }
            (path, Relay::Stream)
        }
        None => {
            let (path, parameters) = request.target.split_once('?').unwrap_or((&request.target, ""));
            let mark = if parameters.is_empty() { "" } else { "?" };
            if rest.is_empty() && matches!(request.method.as_str(), "GET" | "HEAD") {
                // Links that are relative to the root of what answers need a path that ends in a slash.
                let headers = vec![("location".to_owned(), format!("{path}/{mark}{parameters}"))];
                api.outputs.push(Output::Respond { stream: request.stream, status: 301, headers, body: Default::default() });
                return Ok(());
            }
            headers.push(("x-forwarded-uri".to_owned(), path.to_owned()));
            let prefix = path.strip_suffix(rest).unwrap_or(path);
            let slash = if rest.starts_with('/') { "" } else { "/" };
            (format!("{slash}{rest}{mark}{parameters}"), Relay::Below(prefix.to_owned()))
        }
    };
    let outgoing = Outgoing {
        upstream: way.upstream,
        method: request.method.clone(),
        target: path,
        headers,
        body: request.body.clone(),
        timeout_millis: 0,
    };
    api.outputs.push(Output::Forward { stream: request.stream, node: way.node, relay, outgoing });
    Ok(())
}

/// Who answers.
struct Way {
    upstream: Upstream,
    /// The node, if it is a kubelet.
    node: String,
    /// What it is asked; `None` for a proxy, which asks what it was asked.
    path: Option<String>,
}

impl Way {
    fn proxy(upstream: Upstream) -> Self {
        Way { upstream, node: String::new(), path: None }
    }
}

fn is_websocket(request: &Request) -> bool {
    header(request, "upgrade").is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
}

/// What stands in the path after the subresource, with its slash.
fn rest_of_path<'a>(request_target: &'a str, target: &Target) -> &'a str {
    let path = request_target.split('?').next().unwrap_or_default();
    let skipped = if target.namespace.is_empty() { 5 } else { 7 };
    path.match_indices('/').filter(|(at, _)| !path[*at..].starts_with("//")).nth(skipped).map_or("", |(at, _)| &path[at..])
}

/// The request as an object for admission.
fn options(target: &Target, query: &Query, rest: &str) -> Value {
    let kind = target.resource.subresource(&target.subresource).map(|sub| sub.gvk(&target.resource.gvr).kind.to_string());
    let mut options = json!({"kind": kind.unwrap_or_default(), "apiVersion": "v1"});
    let mut add = |field: &str, value: Value| set(&mut options, &[field], value);
    match target.subresource.as_str() {
        "proxy" => {
            if !rest.is_empty() {
                add("path", json!(rest));
            }
        }
        "portforward" => {
            let ports: Vec<i64> =
                query.all("ports").flat_map(|list| list.split(',')).filter_map(|port| port.parse().ok()).collect();
            if !ports.is_empty() {
                add("ports", json!(ports));
            }
        }
        _ => {
            for flag in ["stdin", "stdout", "stderr", "tty"].into_iter().filter(|flag| query.flag(flag)) {
                add(flag, json!(true));
            }
            if query.has("container") {
                add("container", json!(query.get("container")));
            }
            if target.subresource == "exec" {
                add("command", json!(query.all("command").collect::<Vec<_>>()));
            }
        }
    }
    options
}

/// A stream to a container goes through the kubelet of its pod's node.
fn container(api: &ApiServer, target: &Target, query: &Query) -> Result<Way> {
    let pod = api.stored(target)?.value();
    let mut parameters = Vec::new();
    let path = if target.subresource == "portforward" {
        parameters.extend(query.all("ports").map(|ports| ("port", ports.to_owned())));
        String::new()
    } else {
        for (ours, kubelets) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
            if query.flag(ours) {
                parameters.push((kubelets, "1".to_owned()));
            }
        }
        if target.subresource == "exec" {
            parameters.extend(query.all("command").map(|word| ("command", word.to_owned())));
        }
        format!("/{}", chosen_container(&pod, target, query.get("container"))?)
    };
    let node = str_at(&pod, &["spec", "nodeName"]).to_owned();
    if node.is_empty() {
        return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", target.name)));
    }
    let upstream = kubelet(api, &node)?;
    let verb = if target.subresource == "portforward" { "portForward" } else { &target.subresource };
    let mut path = format!("/{verb}/{}/{}{path}", target.namespace, target.name);
    for (index, (name, value)) in parameters.iter().enumerate() {
        path += &format!("{}{name}={}", if index == 0 { '?' } else { '&' }, encode(value));
    }
    Ok(Way { upstream, node, path: Some(path) })
}

/// A name with what may stand around it: `name`, `name:port` or `scheme:name:port`.
fn scheme_name_port<'a>(target: &'a Target, kind: &str) -> Result<(&'a str, &'a str, &'a str)> {
    let parts: Vec<&str> = target.name.split(':').collect();
    let found = match parts.as_slice() {
        [name] => Some(("", *name, "")),
        [name, port] => Some(("", *name, *port)),
        [scheme @ ("" | "http" | "https"), name, port] => Some((*scheme, *name, *port)),
        _ => None,
    };
    let found = found.filter(|(_, name, _)| !name.is_empty());
    found.ok_or_else(|| ApiError::bad_request(format!("invalid {kind} request {:?}", target.name)))
}

/// A server of the cluster that answers for itself.
fn server(scheme: &str, address: &str, port: u16) -> Upstream {
    Upstream {
        host: address.to_owned(),
        port,
        address: address.to_owned(),
        address_port: port,
        trust: Trust::Anything,
        plain: scheme != "https",
        ..Upstream::default()
    }
}

/// Only addresses that a pod or a node can have: not those of this machine, of one link, or of a group.
fn proxied_address(address: &str) -> Result<&str> {
    let allowed = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => {
            !(v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_unspecified() || v4.is_broadcast())
        }
        Ok(IpAddr::V6(v6)) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified()),
        Err(_) => false,
    };
    if allowed { Ok(address) } else { Err(ApiError::bad_request("address not allowed")) }
}

fn port_number(port: &str) -> Result<u16> {
    port.parse().map_err(|_| ApiError::bad_request(format!("invalid port {port:?}")))
}

fn pod(api: &ApiServer, target: &Target) -> Result<Way> {
    let (scheme, name, port) = scheme_name_port(target, "pod")?;
    let pod = api.stored(&Target::new(target.resource.clone(), &target.namespace, name, ""))?.value();
    let first = || {
        let containers = list_at(&pod, &["spec", "containers"]).iter();
        let mut ports = containers.flat_map(|container| list_at(container, &["ports"]));
        ports.find(|port| str_at(port, &["protocol"]) == "TCP").and_then(|port| i64_at(port, &["containerPort"]))
    };
    let address = proxied_address(str_at(&pod, &["status", "podIP"]))?;
    let port = match port {
        "" => first().and_then(|port| u16::try_from(port).ok()).unwrap_or(if scheme == "https" { 443 } else { 80 }),
        port => port_number(port)?,
    };
    Ok(Way::proxy(server(scheme, address, port)))
}

fn service(api: &ApiServer, target: &Target) -> Result<Way> {
    let (scheme, name, port) = scheme_name_port(target, "service")?;
    let service = api.stored(&Target::new(target.resource.clone(), &target.namespace, name, ""))?.value();
    let unavailable = |why: String| ApiError::new(503, Reason::ServiceUnavailable, why);
    let ports = list_at(&service, &["spec", "ports"]);
    // A port is meant by its number or by its name; without either, that without a name.
    let stated = match port.parse::<i64>() {
        Ok(number) => {
            let stated = ports.iter().find(|stated| i64_at(stated, &["port"]) == Some(number));
            stated.ok_or_else(|| unavailable(format!("no service port {number} found for service {name:?}")))?
        }
        Err(_) => {
            let stated = ports.iter().find(|stated| str_at(stated, &["name"]) == port);
            stated.ok_or_else(|| unavailable(format!("no endpoints available for service {:?}", target.name)))?
        }
    };
    let number = i64_at(stated, &["port"]).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let (address, port) = upstream::endpoint(api, &target.namespace, name, number)
        .map_err(|_| unavailable(format!("no endpoints available for service {:?}", target.name)))?;
    Ok(Way::proxy(server(scheme, &address, port)))
}

fn node(api: &ApiServer, target: &Target) -> Result<Way> {
    let (scheme, name, port) = scheme_name_port(target, "node")?;
    let upstream = kubelet(api, name)?;
    if port.is_empty() || port_number(port)? == upstream.port {
        return Ok(Way { upstream, node: name.to_owned(), path: None });
    }
    let address = proxied_address(&upstream.address)?;
    Ok(Way::proxy(server(scheme, address, port_number(port)?)))
}
