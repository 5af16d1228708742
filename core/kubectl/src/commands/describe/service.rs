//! Services, with the endpoints behind each port.

use object::Value;
use object::value::{at, bool_at, list_at, str_at};

use super::super::select::Target;
use super::{Writer, text_at};
use crate::api::query;
use crate::{Kubectl, Result};

pub(super) async fn describe(k: &Kubectl<'_>, w: &mut Writer, target: &Target) -> Result<()> {
    let s = &target.object;
    w.head(s, true);
    w.labels("", "Labels", at(s, &["metadata", "labels"]));
    w.annotations("", "Annotations", at(s, &["metadata", "annotations"]));
    let selector = object::meta::string_map(at(s, &["spec", "selector"]));
    let text: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    w.field(0, "Selector", if text.is_empty() { "<none>".to_owned() } else { text.join(",") });
    w.field(0, "Type", str_at(s, &["spec", "type"]));
    let policy = str_at(s, &["spec", "ipFamilyPolicy"]);
    if !policy.is_empty() {
        w.field(0, "IP Family Policy", policy);
    }
    let join = |path: &[&str]| list_at(s, path).iter().map(object::jsonpath::printed).collect::<Vec<_>>().join(",");
    let families = join(&["spec", "ipFamilies"]);
    w.field(0, "IP Families", if families.is_empty() { "<none>" } else { &families });
    w.field(0, "IP", str_at(s, &["spec", "clusterIP"]));
    let ips = join(&["spec", "clusterIPs"]);
    w.field(0, "IPs", if ips.is_empty() { "<none>" } else { &ips });
    let external = join(&["spec", "externalIPs"]);
    if !external.is_empty() {
        w.field(0, "External IPs", external);
    }
    let name = str_at(s, &["spec", "externalName"]);
    if !name.is_empty() {
        w.field(0, "External Name", name);
    }
    let ingress: Vec<String> = list_at(s, &["status", "loadBalancer", "ingress"])
        .iter()
        .map(|i| format!("{}{}", str_at(i, &["ip"]), str_at(i, &["hostname"])))
        .collect();
    if !ingress.is_empty() {
        w.field(0, "LoadBalancer Ingress", ingress.join(", "));
    }
    let slices = query(&[("labelSelector", &format!("kubernetes.io/service-name={}", target.name))]);
    let slices = k.get(&format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices{slices}", target.namespace)).await?;
    for port in list_at(s, &["spec", "ports"]) {
        let name = str_at(port, &["name"]);
        let protocol = str_at(port, &["protocol"]);
        w.line(0, format!("Port:\t{}\t{}/{protocol}", if name.is_empty() { "<unset>" } else { name }, text_at(port, &["port"])));
        w.field(0, "TargetPort", format!("{}/{protocol}", text_at(port, &["targetPort"])));
        let node_port = text_at(port, &["nodePort"]);
        if !matches!(node_port.as_str(), "" | "0") {
            w.line(0, format!("NodePort:\t{}\t{node_port}/{protocol}", if name.is_empty() { "<unset>" } else { name }));
        }
        w.field(0, "Endpoints", endpoints(&slices, name));
    }
    w.field(0, "Session Affinity", str_at(s, &["spec", "sessionAffinity"]));
    for (title, field) in
        [("External Traffic Policy", "externalTrafficPolicy"), ("Internal Traffic Policy", "internalTrafficPolicy")]
    {
        let text = str_at(s, &["spec", field]);
        if !text.is_empty() {
            w.field(0, title, text);
        }
    }
    Ok(())
}

/// The first three ready addresses of a port.
fn endpoints(slices: &Value, name: &str) -> String {
    let mut all = Vec::new();
    for slice in list_at(slices, &["items"]) {
        let Some(port) = list_at(slice, &["ports"]).iter().find(|p| str_at(p, &["name"]) == name) else { continue };
        for endpoint in list_at(slice, &["endpoints"]) {
            if at(endpoint, &["conditions", "ready"]).is_none() || bool_at(endpoint, &["conditions", "ready"]) {
                let addresses = list_at(endpoint, &["addresses"]).iter().filter_map(Value::as_str);
                all.extend(addresses.map(|a| format!("{a}:{}", text_at(port, &["port"]))));
            }
        }
    }
    match all.len() {
        0 => String::new(),
        n if n > 3 => format!("{} + {} more...", all[..3].join(","), n - 3),
        _ => all.join(","),
    }
}
