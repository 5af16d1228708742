//! What only a pod's node can answer: its logs. The request is checked here and sent on to the kubelet.
//! Streams to containers, and proxies, are in [`super::connect`].

use object::value::{self, i64_at, str_at};
use object::{ApiError, GroupResource, Result, Value};
use store::Key;

use crate::edge::query::Query;
use crate::message::{Identity, Outgoing, Output, Relay, Request, Trust, Upstream};
use crate::server::ApiServer;
use crate::write::Target;

/// The kubelet's port where a node does not say otherwise.
const KUBELET_PORT: u16 = 10250;

/// Parameters that are the kubelet's to understand.
const LOG_PARAMETERS: [&str; 8] =
    ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];

/// `GET …/pods/NAME/log`: answered by the kubelet at `/containerLogs/NAMESPACE/NAME/CONTAINER`.
pub fn logs(api: &mut ApiServer, request: &Request, target: &Target, query: &Query) -> Result<()> {
    let pod = api.stored(target)?.value();
    let container = chosen_container(&pod, target, query.get("container"))?;
    let node = str_at(&pod, &["spec", "nodeName"]).to_owned();
    if node.is_empty() {
        // Nothing has run, so there is nothing to show.
        let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        api.outputs.push(Output::Respond { stream: request.stream, status: 200, headers, body: Default::default() });
        return Ok(());
    }
    let upstream = kubelet(api, &node)?;
    let mut path = format!("/containerLogs/{}/{}/{container}", target.namespace, target.name);
    let mut separator = '?';
    for key in LOG_PARAMETERS {
        if query.has(key) {
            path += &format!("{separator}{key}={}", encode(query.get(key)));
            separator = '&';
        }
    }
    let outgoing = Outgoing { upstream, method: "GET".to_owned(), target: path, ..Outgoing::default() };
    api.outputs.push(Output::Forward { stream: request.stream, node, relay: Relay::Checked, outgoing });
    Ok(())
}

/// The container that is meant, if it can be told.
pub(super) fn chosen_container(pod: &Value, target: &Target, asked: &str) -> Result<String> {
    let names = |list: &str| -> Vec<String> {
        value::list_at(pod, &["spec", list]).iter().map(|c| str_at(c, &["name"]).to_owned()).collect()
    };
    let (main, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if asked.is_empty() {
        if let Some(default) = object::meta::annotation(pod, "kubectl.kubernetes.io/default-container")
            && main.iter().any(|name| name == default)
        {
            return Ok(default.to_owned());
        }
        return match main.as_slice() {
            [only] => Ok(only.clone()),
            many => {
                let mut message =
                    format!("a container name must be specified for pod {}, choose one of: [{}]", target.name, many.join(" "));
                if !init.is_empty() {
                    message += &format!(" or one of the init containers: [{}]", init.join(" "));
                }
                Err(ApiError::bad_request(message))
            }
        };
    }
    if main.iter().chain(&init).chain(&ephemeral).any(|name| name == asked) {
        return Ok(asked.to_owned());
    }
    Err(ApiError::bad_request(format!("container {asked} is not valid for pod {}", target.name)))
}

/// The kubelet of a node.
pub(super) fn kubelet(api: &ApiServer, node: &str) -> Result<Upstream> {
    let nodes = GroupResource::literal("", "nodes");
    let object = api.store.get(&Key::new(&nodes, "", node)).ok_or_else(|| ApiError::not_found(&nodes, node))?;
    let object = object.value();
    let addresses = value::list_at(&object, &["status", "addresses"]);
    let of_type =
        |kind: &str| addresses.iter().find(|a| str_at(a, &["type"]) == kind).map(|a| str_at(a, &["address"]).to_owned());
    let address = of_type("InternalIP").or_else(|| of_type("Hostname")).unwrap_or_default();
    let port = i64_at(&object, &["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).and_then(|p| u16::try_from(p).ok());
    let port = port.filter(|port| *port > 0).unwrap_or(KUBELET_PORT);
    Ok(Upstream {
        host: address.clone(),
        port,
        address,
        address_port: port,
        trust: Trust::Cluster,
        identity: Identity::KubeletClient,
        plain: false,
    })
}

/// Percent-encodes a parameter.
pub(super) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b':');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
