//! Pods and pod templates.

use object::order::Order as _;
use object::value::{at, bool_at, list_at, str_at};
use object::{Map, Value};

use super::{Writer, controller, date, text_at};

pub(super) fn describe(w: &mut Writer, pod: &Value) {
    w.head(pod, true);
    if let Some(priority) = at(pod, &["spec", "priority"]) {
        w.field(0, "Priority", priority);
    }
    let class = str_at(pod, &["spec", "priorityClassName"]);
    if !class.is_empty() {
        w.field(0, "Priority Class Name", class);
    }
    w.field(0, "Service Account", str_at(pod, &["spec", "serviceAccountName"]));
    match str_at(pod, &["spec", "nodeName"]) {
        "" => w.field(0, "Node", "<none>"),
        node => w.field(0, "Node", format!("{node}/{}", str_at(pod, &["status", "hostIP"]))),
    }
    let start = str_at(pod, &["status", "startTime"]);
    if !start.is_empty() {
        w.field(0, "Start Time", date(start));
    }
    w.labels("", "Labels", at(pod, &["metadata", "labels"]));
    w.annotations("", "Annotations", at(pod, &["metadata", "annotations"]));
    let deleted = str_at(pod, &["metadata", "deletionTimestamp"]);
    if deleted.is_empty() {
        w.field(0, "Status", str_at(pod, &["status", "phase"]));
    } else {
        w.field(0, "Status", format!("Terminating (lasts {})", super::since(w.now, deleted)));
        w.field(0, "Termination Grace Period", format!("{}s", text_at(pod, &["metadata", "deletionGracePeriodSeconds"])));
    }
    for (name, field) in [("Reason", "reason"), ("Message", "message")] {
        let text = str_at(pod, &["status", field]);
        if !text.is_empty() {
            w.field(0, name, text);
        }
    }
    w.field(0, "IP", str_at(pod, &["status", "podIP"]));
    let ips = list_at(pod, &["status", "podIPs"]);
    if ips.is_empty() {
        w.field(0, "IPs", "<none>");
    } else {
        w.line(0, "IPs:");
        ips.iter().for_each(|ip| w.field(1, "IP", str_at(ip, &["ip"])));
    }
    if let Some(owner) = controller(pod) {
        w.field(0, "Controlled By", owner);
    }
    let nominated = str_at(pod, &["status", "nominatedNodeName"]);
    if !nominated.is_empty() {
        w.field(0, "NominatedNodeName", nominated);
    }
    if !list_at(pod, &["spec", "initContainers"]).is_empty() {
        containers(
            w,
            "Init Containers",
            list_at(pod, &["spec", "initContainers"]),
            Some(list_at(pod, &["status", "initContainerStatuses"])),
            "",
        );
    }
    containers(w, "Containers", list_at(pod, &["spec", "containers"]), Some(list_at(pod, &["status", "containerStatuses"])), "");
    let conditions = list_at(pod, &["status", "conditions"]);
    if !conditions.is_empty() {
        w.line(0, "Conditions:");
        w.line(1, "Type\tStatus");
        for c in conditions {
            w.line(1, format!("{} \t{} ", str_at(c, &["type"]), str_at(c, &["status"])));
        }
    }
    volumes(w, list_at(pod, &["spec", "volumes"]), "");
    w.field(0, "QoS Class", str_at(pod, &["status", "qosClass"]));
    w.labels("", "Node-Selectors", at(pod, &["spec", "nodeSelector"]));
    tolerations(w, "", list_at(pod, &["spec", "tolerations"]));
}

/// A pod template as it stands in the description of a workload.
pub(super) fn template(w: &mut Writer, template: &Value) {
    w.line(0, "Pod Template:");
    w.labels("  ", "Labels", at(template, &["metadata", "labels"]));
    if at(template, &["metadata", "annotations"]).and_then(Value::as_object).is_some_and(|a| !a.is_empty()) {
        w.annotations("  ", "Annotations", at(template, &["metadata", "annotations"]));
    }
    let account = str_at(template, &["spec", "serviceAccountName"]);
    if !account.is_empty() {
        w.field(1, "Service Account", account);
    }
    if !list_at(template, &["spec", "initContainers"]).is_empty() {
        containers(w, "Init Containers", list_at(template, &["spec", "initContainers"]), None, "  ");
    }
    containers(w, "Containers", list_at(template, &["spec", "containers"]), None, "  ");
    volumes(w, list_at(template, &["spec", "volumes"]), "  ");
    w.labels("  ", "Node-Selectors", at(template, &["spec", "nodeSelector"]));
    tolerations(w, "  ", list_at(template, &["spec", "tolerations"]));
}

/// A pod template alone (`kubectl rollout history --revision`), which nobody aligns.
pub(crate) fn template_text(value: &Value) -> String {
    let mut w = Writer { text: String::new(), now: object::Time(0) };
    template(&mut w, value);
    w.text
}

fn containers(w: &mut Writer, label: &str, list: &[Value], statuses: Option<&[Value]>, space: &str) {
    w.line(0, format!("{space}{label}:"));
    for container in list {
        let name = str_at(container, &["name"]);
        let indent = if space.is_empty() { "" } else { " " };
        w.line(1, format!("{indent}{name}:"));
        let status = statuses.and_then(|s| s.iter().find(|s| str_at(s, &["name"]) == name));
        if let Some(status) = status {
            w.field(2, "Container ID", str_at(status, &["containerID"]));
        }
        w.field(2, "Image", str_at(container, &["image"]));
        if let Some(status) = status {
            w.field(2, "Image ID", str_at(status, &["imageID"]));
        }
        ports(w, container);
        for field in ["command", "args"] {
            let items = list_at(container, &[field]);
            if !items.is_empty() {
                w.line(2, format!("{}:", if field == "command" { "Command" } else { "Args" }));
                for item in items.iter().filter_map(Value::as_str).flat_map(|t| t.split('\n')) {
                    w.line(3, item);
                }
            }
        }
        if let Some(status) = status {
            state(w, "State", at(status, &["state"]));
            if at(status, &["lastState"]).and_then(Value::as_object).is_some_and(|s| !s.is_empty()) {
                state(w, "Last State", at(status, &["lastState"]));
            }
            w.field(2, "Ready", if bool_at(status, &["ready"]) { "True" } else { "False" });
            w.field(2, "Restart Count", text_at(status, &["restartCount"]));
        }
        for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
            let map = object::meta::string_map(at(container, &["resources", field]));
            if !map.is_empty() {
                w.line(2, format!("{title}:"));
                map.iter().for_each(|(k, v)| w.field(3, k, v));
            }
        }
        for (title, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")] {
            if let Some(probe) = container.get(field) {
                w.field(2, title, probe_text(probe));
            }
        }
        environment(w, container);
        let mounts = list_at(container, &["volumeMounts"]);
        if mounts.is_empty() {
            w.field(2, "Mounts", "<none>");
        } else {
            w.line(2, "Mounts:");
        }
        let mut sorted: Vec<&Value> = mounts.iter().collect();
        sorted.order_by_key(|m| str_at(m, &["mountPath"]).to_owned());
        for mount in sorted {
            let mut flags = vec![if bool_at(mount, &["readOnly"]) { "ro".to_owned() } else { "rw".to_owned() }];
            let sub = str_at(mount, &["subPath"]);
            if !sub.is_empty() {
                flags.push(format!("path={sub:?}"));
            }
            w.line(3, format!("{} from {} ({})", str_at(mount, &["mountPath"]), str_at(mount, &["name"]), flags.join(",")));
        }
    }
}

fn ports(w: &mut Writer, container: &Value) {
    let list = list_at(container, &["ports"]);
    let texts = |field: &str| -> String {
        let one = |p: &Value| {
            let number = p.get(field).and_then(Value::as_i64).unwrap_or(0);
            let protocol = p.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
            format!("{number}/{protocol}")
        };
        list.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let (port, host) = if list.len() > 1 { ("Ports", "Host Ports") } else { ("Port", "Host Port") };
    let none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    w.field(2, port, none(texts("containerPort")));
    w.field(2, host, none(texts("hostPort")));
}

fn state(w: &mut Writer, name: &str, state: Option<&Value>) {
    let state = state.unwrap_or(&Value::Null);
    if let Some(running) = state.get("running") {
        w.field(2, name, "Running");
        w.field(3, "Started", date(str_at(running, &["startedAt"])));
    } else if let Some(ended) = state.get("terminated") {
        w.field(2, name, "Terminated");
        for (title, field) in [("Reason", "reason"), ("Message", "message")] {
            let text = str_at(ended, &[field]);
            if !text.is_empty() {
                w.field(3, title, text);
            }
        }
        w.field(3, "Exit Code", text_at(ended, &["exitCode"]));
        let signal = text_at(ended, &["signal"]);
        if !matches!(signal.as_str(), "" | "0") {
            w.field(3, "Signal", signal);
        }
        w.field(3, "Started", date(str_at(ended, &["startedAt"])));
        w.field(3, "Finished", date(str_at(ended, &["finishedAt"])));
    } else {
        w.field(2, name, "Waiting");
        let reason = str_at(state, &["waiting", "reason"]);
        if !reason.is_empty() {
            w.field(3, "Reason", reason);
        }
    }
}

fn probe_text(probe: &Value) -> String {
    let number = |field: &str| text_at(probe, &[field]);
    let attributes = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        if number("initialDelaySeconds").is_empty() { "0".to_owned() } else { number("initialDelaySeconds") },
        number("timeoutSeconds"),
        number("periodSeconds"),
        number("successThreshold"),
        number("failureThreshold")
    );
    if probe.get("exec").is_some() {
        let words: Vec<String> = list_at(probe, &["exec", "command"]).iter().map(object::jsonpath::printed).collect();
        return format!("exec [{}] {attributes}", words.join(" "));
    }
    if let Some(http) = probe.get("httpGet") {
        let scheme = str_at(http, &["scheme"]).to_lowercase();
        return format!(
            "{scheme}://{}:{}{} {attributes}",
            str_at(http, &["host"]),
            text_at(http, &["port"]),
            str_at(http, &["path"])
        );
    }
    if let Some(tcp) = probe.get("tcpSocket") {
        return format!("tcp-socket {}:{} {attributes}", str_at(tcp, &["host"]), text_at(tcp, &["port"]));
    }
    if let Some(grpc) = probe.get("grpc") {
        return format!("grpc <pod>:{} {} {attributes}", text_at(grpc, &["port"]), str_at(grpc, &["service"]));
    }
    format!("unknown {attributes}")
}

fn environment(w: &mut Writer, container: &Value) {
    let from = list_at(container, &["envFrom"]);
    if !from.is_empty() {
        w.line(2, "Environment Variables from:");
        for source in from {
            let (kind, name) = match source.get("configMapRef") {
                Some(r) => ("ConfigMap", r),
                None => ("Secret", source.get("secretRef").unwrap_or(&Value::Null)),
            };
            w.line(3, format!("{}\t{kind}\tOptional: {}", str_at(name, &["name"]), bool_at(name, &["optional"])));
        }
    }
    let env = list_at(container, &["env"]);
    if env.is_empty() {
        w.field(2, "Environment", "<none>");
        return;
    }
    w.line(2, "Environment:");
    for var in env {
        let name = str_at(var, &["name"]);
        let source = |key: &str| at(var, &["valueFrom", key]);
        let reference = |r: &Value, kind: &str| {
            format!(
                "<set to the key '{}' {kind} '{}'>\tOptional: {}",
                str_at(r, &["key"]),
                str_at(r, &["name"]),
                bool_at(r, &["optional"])
            )
        };
        let text = if let Some(field) = source("fieldRef") {
            format!(" ({}:{})", str_at(field, &["apiVersion"]), str_at(field, &["fieldPath"]))
        } else if let Some(r) = source("resourceFieldRef") {
            format!("{} ({})", text_at(r, &["divisor"]), str_at(r, &["resource"]))
        } else if let Some(r) = source("secretKeyRef") {
            reference(r, "in secret")
        } else if let Some(r) = source("configMapKeyRef") {
            reference(r, "of config map")
        } else {
            str_at(var, &["value"]).replace('\n', "\n      \t")
        };
        w.line(3, format!("{name}:\t{text}"));
    }
}

fn volumes(w: &mut Writer, list: &[Value], space: &str) {
    if list.is_empty() {
        w.line(0, format!("{space}Volumes:\t<none>"));
        return;
    }
    w.line(0, format!("{space}Volumes:"));
    let indent = if space.is_empty() { "" } else { " " };
    for volume in list {
        w.line(1, format!("{indent}{}:", str_at(volume, &["name"])));
        let source = volume.as_object().into_iter().flatten().find(|(key, _)| *key != "name");
        let (kind, body) = source.map_or(("", &Value::Null), |(k, v)| (k.as_str(), v));
        let optional = |body: &Value| bool_at(body, &["optional"]).to_string();
        let mut put = |name: &str, value: String| w.field(2, name, value);
        match kind {
            "emptyDir" => {
                put("Type", "EmptyDir (a temporary directory that shares a pod's lifetime)".to_owned());
                put("Medium", str_at(body, &["medium"]).to_owned());
                let limit = text_at(body, &["sizeLimit"]);
                put("SizeLimit", if limit.is_empty() { "<unset>".to_owned() } else { limit });
            }
            "configMap" => {
                put("Type", "ConfigMap (a volume populated by a ConfigMap)".to_owned());
                put("Name", str_at(body, &["name"]).to_owned());
                put("Optional", optional(body));
            }
            "secret" => {
                put("Type", "Secret (a volume populated by a Secret)".to_owned());
                put("SecretName", str_at(body, &["secretName"]).to_owned());
                put("Optional", optional(body));
            }
            "hostPath" => {
                put("Type", "HostPath (bare host directory volume)".to_owned());
                put("Path", str_at(body, &["path"]).to_owned());
                put("HostPathType", str_at(body, &["type"]).to_owned());
            }
            "persistentVolumeClaim" => {
                put("Type", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)".to_owned());
                put("ClaimName", str_at(body, &["claimName"]).to_owned());
                put("ReadOnly", bool_at(body, &["readOnly"]).to_string());
            }
            "projected" => projected(w, body),
            other => put("Type", other.to_owned()),
        }
    }
}

fn projected(w: &mut Writer, body: &Value) {
    w.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
    for source in list_at(body, &["sources"]) {
        let none = Map::new();
        for (kind, part) in source.as_object().unwrap_or(&none) {
            match kind.as_str() {
                "serviceAccountToken" => w.field(2, "TokenExpirationSeconds", text_at(part, &["expirationSeconds"])),
                "configMap" => {
                    w.field(2, "ConfigMapName", str_at(part, &["name"]));
                    w.field(2, "ConfigMapOptional", part.get("optional").map_or("<nil>".to_owned(), Value::to_string));
                }
                "secret" => {
                    w.field(2, "SecretName", str_at(part, &["name"]));
                    w.field(2, "SecretOptionalName", part.get("optional").map_or("<nil>".to_owned(), Value::to_string));
                }
                "downwardAPI" => w.field(2, "DownwardAPI", "true"),
                _ => {}
            }
        }
    }
}

fn tolerations(w: &mut Writer, indent: &str, list: &[Value]) {
    if list.is_empty() {
        w.line(0, format!("{indent}Tolerations:\t<none>"));
    }
    let mut texts: Vec<String> = list
        .iter()
        .map(|t| {
            let mut text = str_at(t, &["key"]).to_owned();
            let value = str_at(t, &["value"]);
            if !value.is_empty() {
                text += &format!("={value}");
            }
            let effect = str_at(t, &["effect"]);
            if !effect.is_empty() {
                text += &format!(":{effect}");
            }
            if str_at(t, &["operator"]) == "Exists" && value.is_empty() {
                text += if text.is_empty() { "op=Exists" } else { " op=Exists" };
            }
            if let Some(seconds) = t.get("tolerationSeconds").and_then(Value::as_i64) {
                text += &format!(" for {seconds}s");
            }
            text
        })
        .collect();
    texts.order();
    for (i, text) in texts.iter().enumerate() {
        let head = if i == 0 { format!("{indent}Tolerations:\t") } else { format!("{indent}\t") };
        w.line(0, format!("{head}{text}"));
    }
}
