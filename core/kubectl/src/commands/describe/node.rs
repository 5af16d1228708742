//! Nodes, with the pods on them and what those ask for.

use object::value::{at, bool_at, list_at, str_at};
use object::{Quantity, Value};

use super::{Writer, date, since};
use crate::api::query;
use crate::{Kubectl, Result};

pub(super) async fn describe(k: &Kubectl<'_>, w: &mut Writer, node: &Value) -> Result<()> {
    let name = str_at(node, &["metadata", "name"]);
    w.head(node, false);
    let labels = object::meta::string_map(at(node, &["metadata", "labels"]));
    let roles: Vec<&str> = labels.keys().filter_map(|l| l.strip_prefix("node-role.kubernetes.io/")).collect();
    w.field(0, "Roles", if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") });
    w.labels("", "Labels", at(node, &["metadata", "labels"]));
    w.annotations("", "Annotations", at(node, &["metadata", "annotations"]));
    w.field(0, "CreationTimestamp", date(str_at(node, &["metadata", "creationTimestamp"])));
    let taints: Vec<String> = list_at(node, &["spec", "taints"]).iter().map(taint).collect();
    w.field(0, "Taints", if taints.is_empty() { "<none>".to_owned() } else { taints.join("\n\t") });
    w.field(0, "Unschedulable", bool_at(node, &["spec", "unschedulable"]));
    lease(k, w, name).await?;
    let conditions = list_at(node, &["status", "conditions"]);
    if !conditions.is_empty() {
        w.line(0, "Conditions:");
        w.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
        w.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
        for c in conditions {
            let (beat, change) = (date(str_at(c, &["lastHeartbeatTime"])), date(str_at(c, &["lastTransitionTime"])));
            let text = |f: &str| str_at(c, &[f]);
            w.line(
                1,
                format!("{} \t{} \t{beat} \t{change} \t{} \t{}", text("type"), text("status"), text("reason"), text("message")),
            );
        }
    }
    w.line(0, "Addresses:");
    for a in list_at(node, &["status", "addresses"]) {
        w.field(1, str_at(a, &["type"]), str_at(a, &["address"]));
    }
    for (title, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        let amounts = object::meta::string_map(at(node, &["status", field]));
        if !amounts.is_empty() {
            w.line(0, format!("{title}:"));
        }
        amounts.iter().for_each(|(k, v)| w.field(1, k, v));
    }
    w.line(0, "System Info:");
    for (title, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
        ("Kube-Proxy Version", "kubeProxyVersion"),
    ] {
        w.field(1, title, str_at(node, &["status", "nodeInfo", field]));
    }
    let cidrs: Vec<&str> = list_at(node, &["spec", "podCIDRs"]).iter().filter_map(Value::as_str).collect();
    let cidrs = cidrs.join(",");
    for (title, text) in [
        ("PodCIDR", str_at(node, &["spec", "podCIDR"])),
        ("PodCIDRs", &cidrs),
        ("ProviderID", str_at(node, &["spec", "providerID"])),
    ] {
        if !text.is_empty() {
            w.field(0, title, text);
        }
    }
    let fields = format!("spec.nodeName={name},status.phase!=Failed,status.phase!=Succeeded");
    let list = k.get(&format!("/api/v1/pods{}", query(&[("fieldSelector", &fields)]))).await?;
    pods(w, node, list_at(&list, &["items"]));
    Ok(())
}

fn taint(taint: &Value) -> String {
    let (key, value, effect) = (str_at(taint, &["key"]), str_at(taint, &["value"]), str_at(taint, &["effect"]));
    if value.is_empty() { format!("{key}:{effect}") } else { format!("{key}={value}:{effect}") }
}

async fn lease(k: &Kubectl<'_>, w: &mut Writer, name: &str) -> Result<()> {
    w.line(0, "Lease:");
    match k.find(&format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")).await? {
        Some(lease) => {
            w.field(1, "HolderIdentity", str_at(&lease, &["spec", "holderIdentity"]));
            w.field(
                1,
                "AcquireTime",
                match str_at(&lease, &["spec", "acquireTime"]) {
                    "" => "<unset>".to_owned(),
                    time => date(time),
                },
            );
            w.field(1, "RenewTime", date(str_at(&lease, &["spec", "renewTime"])));
        }
        None => {
            ["HolderIdentity", "AcquireTime", "RenewTime"].iter().for_each(|f| w.field(1, f, "<unset>"));
        }
    }
    Ok(())
}

/// What a pod asks for: its containers together, or its largest init container if that is more.
fn total(pod: &Value, field: &str, resource: &str) -> Quantity {
    let of = |c: &Value| at(c, &["resources", field, resource]).and_then(Quantity::from_json).unwrap_or_default();
    let sum: Quantity = list_at(pod, &["spec", "containers"]).iter().map(of).sum();
    list_at(pod, &["spec", "initContainers"]).iter().map(of).fold(sum, Quantity::max)
}

fn pods(w: &mut Writer, node: &Value, pods: &[Value]) {
    let room = |resource: &str| at(node, &["status", "allocatable", resource]).and_then(Quantity::from_json).unwrap_or_default();
    let percent = |q: Quantity, resource: &str| match room(resource).milli_value() {
        0 => 0,
        all => (q.milli_value() as f64 / all as f64 * 100.0) as i64,
    };
    w.line(0, format!("Non-terminated Pods:\t({} in total)", pods.len()));
    w.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    w.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    for pod in pods {
        let cell = |field: &str, resource: &str| {
            let q = total(pod, field, resource);
            format!("{q} ({}%)", percent(q, resource))
        };
        w.line(
            1,
            format!(
                "{}\t{}\t\t{}\t{}\t{}\t{}\t{}",
                str_at(pod, &["metadata", "namespace"]),
                str_at(pod, &["metadata", "name"]),
                cell("requests", "cpu"),
                cell("limits", "cpu"),
                cell("requests", "memory"),
                cell("limits", "memory"),
                since(w.now, str_at(pod, &["metadata", "creationTimestamp"]))
            ),
        );
    }
    w.line(0, "Allocated resources:");
    w.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    w.line(1, "Resource\tRequests\tLimits");
    w.line(1, "--------\t--------\t------");
    for resource in ["cpu", "memory", "ephemeral-storage"] {
        let cell = |field: &str| {
            let q: Quantity = pods.iter().map(|p| total(p, field, resource)).sum();
            format!("{q} ({}%)", percent(q, resource))
        };
        w.line(1, format!("{resource}\t{}\t{}", cell("requests"), cell("limits")));
    }
}
