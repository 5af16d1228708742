//! `kubectl create` (from files and for the common kinds), `run` and `expose`.

use object::value::{at, list_at, set, str_at};
use object::{Map, Value, json};

use super::apply::validation;
use super::with_source;
use crate::api::{path, query};
use crate::flags::{FILES, Flag, Flags, PRINT, SELECT, Takes, WRITE};
use crate::{Failure, Kubectl, Result};

const FLAGS: &[Flag] = &[
    ("image", '\0', Takes::Value),
    ("replicas", 'r', Takes::Value),
    ("port", '\0', Takes::Value),
    ("from-literal", '\0', Takes::Value),
    ("from-file", '\0', Takes::Value),
    ("from-env-file", '\0', Takes::Value),
    ("from", '\0', Takes::Value),
    ("type", '\0', Takes::Value),
    ("tcp", '\0', Takes::Value),
    ("clusterip", '\0', Takes::Value),
    ("node-port", '\0', Takes::Value),
    ("external-name", '\0', Takes::Value),
    ("schedule", '\0', Takes::Value),
    ("restart", '\0', Takes::Value),
    ("save-config", '\0', Takes::Bool),
    ("edit", '\0', Takes::Bool),
    ("raw", '\0', Takes::Value),
    ("append-hash", '\0', Takes::Bool),
];
const RUN: &[Flag] = &[
    ("image", '\0', Takes::Value),
    ("port", '\0', Takes::Value),
    ("env", '\0', Takes::Value),
    ("labels", 'l', Takes::Value),
    ("restart", '\0', Takes::Value),
    ("command", '\0', Takes::Bool),
    ("image-pull-policy", '\0', Takes::Value),
    ("annotations", '\0', Takes::Value),
    ("overrides", '\0', Takes::Value),
    ("stdin", 'i', Takes::Bool),
    ("tty", 't', Takes::Bool),
    ("rm", '\0', Takes::Bool),
    ("quiet", 'q', Takes::Bool),
    ("attach", '\0', Takes::Bool),
];
const EXPOSE: &[Flag] = &[
    ("port", '\0', Takes::Value),
    ("target-port", '\0', Takes::Value),
    ("protocol", '\0', Takes::Value),
    ("type", '\0', Takes::Value),
    ("name", '\0', Takes::Value),
    ("selector", 'l', Takes::Value),
    ("labels", '\0', Takes::Value),
    ("cluster-ip", '\0', Takes::Value),
    ("external-ip", '\0', Takes::Value),
    ("session-affinity", '\0', Takes::Value),
];

pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let kind = words.first().map_or("", String::as_str);
    if kind.is_empty() || kind.starts_with('-') {
        return from_files(k, words).await;
    }
    let flags = Flags::parse(&format!("create {kind}"), &words[1..], &[FLAGS, PRINT, WRITE])?;
    let wanted = usize::from(matches!(kind, "secret" | "service" | "svc")) + 1;
    if flags.args.len() < wanted {
        let command = [kind].into_iter().chain(flags.args.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        return Err(Failure::new(format!(
            "exactly one NAME is required, got {}\nSee 'kubectl create {command} -h' for help and examples",
            flags.args.len() + 1 - wanted
        )));
    }
    let object = match kind {
        "deployment" | "deploy" | "dep" => deployment(&flags)?,
        "configmap" | "cm" => config_map(k, &flags).await?,
        "secret" => secret(k, &flags).await?,
        "namespace" | "ns" => {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"creationTimestamp": null, "name": name(&flags, 0)?}, "spec": {}, "status": {}})
        }
        "serviceaccount" | "sa" => {
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"creationTimestamp": null, "name": name(&flags, 0)?}})
        }
        "service" | "svc" => service(&flags)?,
        "job" => job(k, &flags).await?,
        "cronjob" | "cj" => cron_job(&flags)?,
        other => {
            return Err(Failure::new(format!("Unexpected args: [{other}]\nSee 'kubectl create -h' for help and examples")));
        }
    };
    submit(k, &flags, object, "kubectl-create", "created").await
}

fn name(flags: &Flags, at: usize) -> Result<String> {
    flags.args.get(at).cloned().ok_or_else(|| Failure::new("exactly one NAME is required"))
}

fn required<'a>(flags: &'a Flags, flag: &str) -> Result<&'a str> {
    flags.get(flag).filter(|v| !v.is_empty()).ok_or_else(|| Failure::new(format!("required flag(s) \"{flag}\" not set")))
}

async fn from_files(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("create", words, &[FLAGS, FILES, PRINT, SELECT, WRITE])?;
    if flags.all("filename").is_empty() {
        return Err(Failure::new("must specify one of -f and -k"));
    }
    let mut failures = Vec::new();
    for manifest in k.manifests(&flags).await? {
        let source = manifest.source.clone();
        if let Err(failure) = submit(k, &flags, manifest.object, "kubectl-create", "created").await {
            failures.push(with_source(failure, "creating", &source));
        }
    }
    k.say_missing(&failures)
}

/// Sends an object, unless only its form is asked for, and says so.
async fn submit(k: &Kubectl<'_>, flags: &Flags, mut object: Value, manager: &str, what: &str) -> Result<()> {
    if flags.text("dry-run") == "client" {
        if let Some(namespace) = flags.get("namespace") {
            set(&mut object, &["metadata", "namespace"], namespace);
        }
        return k.report(flags, &object, what);
    }
    let mapping = k.mapping_of(&object, "STDIN").await?;
    let namespace = k.place(flags, &mapping, &mut object)?;
    let dry = if flags.text("dry-run") == "server" { "All" } else { "" };
    let manager = flags.get("field-manager").unwrap_or(manager);
    let options = query(&[("dryRun", dry), ("fieldManager", manager), ("fieldValidation", validation(flags))]);
    let created = k.post(&format!("{}{options}", path(&mapping, &namespace, "")), &object).await;
    let failed = |mut e: Failure| {
        if let (true, Some((_, why))) = (flags.all("filename").is_empty(), e.message.split_once("): ")) {
            e.message = format!("error: failed to create {}: {why}", mapping.singular);
        }
        e
    };
    k.report(flags, &created.map_err(failed)?, what)
}

fn metadata(name: &str, label: &str) -> Value {
    json!({"creationTimestamp": null, "labels": {label: name}, "name": name})
}

fn images(flags: &Flags) -> Vec<Value> {
    let container = |image: &String| {
        let base = image.rsplit('/').next().unwrap_or(image);
        let base = base.split(['@', ':']).next().unwrap_or(base);
        let name = base.replace(['_', '.'], "-").to_lowercase();
        json!({"image": image, "name": name, "resources": {}})
    };
    flags.list("image").iter().map(container).collect()
}

fn deployment(flags: &Flags) -> Result<Value> {
    let name = name(flags, 0)?;
    required(flags, "image")?;
    let mut containers = images(flags);
    if containers.len() > 1 && !flags.rest.is_empty() {
        return Err(Failure::new("cannot specify multiple --image options and command"));
    }
    if let Some(first) = containers.first_mut() {
        if !flags.rest.is_empty() {
            first["command"] = json!(flags.rest);
        }
        if let Some(port) = flags.number("port")? {
            first["ports"] = json!([{"containerPort": port}]);
        }
    }
    Ok(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(&name, "app"),
        "spec": {
            "replicas": flags.number("replicas")?.unwrap_or(1), "selector": {"matchLabels": {"app": name}}, "strategy": {},
            "template": {"metadata": {"creationTimestamp": null, "labels": {"app": name}}, "spec": {"containers": containers}},
        },
        "status": {},
    }))
}

async fn literals(k: &Kubectl<'_>, flags: &Flags) -> Result<Vec<(String, Vec<u8>)>> {
    let mut out = Vec::new();
    for literal in flags.all("from-literal") {
        let Some((key, value)) = literal.split_once('=') else {
            return Err(Failure::new(format!("invalid literal source {literal}, expected key=value")));
        };
        let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        out.push((key.to_owned(), bare.as_bytes().to_vec()));
    }
    for source in flags.all("from-file") {
        let (key, path) = source.split_once('=').map_or((None, source.as_str()), |(key, path)| (Some(key), path));
        for (file, bytes) in k.files.read(path, false).await.map_err(Failure::new)? {
            let base = file.rsplit('/').next().unwrap_or(&file);
            out.push((key.unwrap_or(base).to_owned(), bytes.to_vec()));
        }
    }
    for path in flags.all("from-env-file") {
        for (_, bytes) in k.files.read(path, false).await.map_err(Failure::new)? {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let lines = text.lines().map(str::trim_start).filter(|l| !l.is_empty() && !l.starts_with('#'));
            out.extend(lines.filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec())));
        }
    }
    Ok(out)
}

async fn config_map(k: &Kubectl<'_>, flags: &Flags) -> Result<Value> {
    let mut object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"creationTimestamp": null, "name": name(flags, 0)?}});
    for (key, bytes) in literals(k, flags).await? {
        match String::from_utf8(bytes) {
            Ok(text) => set(&mut object, &["data", &key], text),
            Err(binary) => set(&mut object, &["binaryData", &key], base64(binary.as_bytes())),
        }
    }
    Ok(object)
}

async fn secret(k: &Kubectl<'_>, flags: &Flags) -> Result<Value> {
    let kind = name(flags, 0)?;
    if kind != "generic" {
        return Err(Failure::new(format!("only generic secrets are made here, not {kind:?}: write the others as YAML")));
    }
    let mut object =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"creationTimestamp": null, "name": name(flags, 1)?}});
    for (key, bytes) in literals(k, flags).await? {
        set(&mut object, &["data", &key], base64(&bytes));
    }
    if let Some(kind) = flags.get("type") {
        object["type"] = kind.into();
    }
    Ok(object)
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().enumerate().fold(0u32, |n, (i, b)| n | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = ALPHABET[(n >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn service(flags: &Flags) -> Result<Value> {
    let (kind, name) = (name(flags, 0)?, name(flags, 1)?);
    let typ = match kind.as_str() {
        "clusterip" => "ClusterIP",
        "nodeport" => "NodePort",
        "loadbalancer" => "LoadBalancer",
        "externalname" => "ExternalName",
        other => return Err(Failure::new(format!("unknown command \"service {other}\""))),
    };
    let mut ports = Vec::new();
    for tcp in flags.list("tcp") {
        let (port, target) = tcp.split_once(':').unwrap_or((&tcp, &tcp));
        let number: i64 = port.parse().map_err(|_| Failure::new(format!("invalid port: {port}")))?;
        let target = target.parse::<i64>().map_or(Value::from(target), Value::from);
        ports.push(json!({"name": tcp.replace(':', "-"), "port": number, "protocol": "TCP", "targetPort": target}));
    }
    if ports.is_empty() && typ != "ExternalName" && flags.text("clusterip") != "None" {
        return Err(Failure::new("at least one tcp port specifier must be provided"));
    }
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(&name, "app"),
        "spec": {"selector": {"app": name}, "type": typ}, "status": {"loadBalancer": {}},
    });
    if !ports.is_empty() {
        object["spec"]["ports"] = ports.into();
    }
    if let Some(address) = flags.get("clusterip") {
        object["spec"]["clusterIP"] = address.into();
    }
    if let Some(external) = flags.get("external-name") {
        object["spec"]["externalName"] = external.into();
    }
    Ok(object)
}

async fn job(k: &Kubectl<'_>, flags: &Flags) -> Result<Value> {
    let name = name(flags, 0)?;
    let meta = json!({"creationTimestamp": null, "name": name});
    if let Some(from) = flags.get("from") {
        let cron = from.strip_prefix("cronjob/").unwrap_or(from);
        let source = k.get(&format!("/apis/batch/v1/namespaces/{}/cronjobs/{cron}", k.namespace_of(flags))).await?;
        let template = at(&source, &["spec", "jobTemplate"]).cloned().unwrap_or_default();
        return Ok(json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": name, "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": cron, "uid": str_at(&source, &["metadata", "uid"]), "controller": true}],
            },
            "spec": template.get("spec").cloned().unwrap_or_default(),
        }));
    }
    let image = required(flags, "image")?;
    let mut container = json!({"image": image, "name": name, "resources": {}});
    if !flags.rest.is_empty() {
        container["command"] = json!(flags.rest);
    }
    Ok(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "status": {},
        "spec": {"template": {"metadata": {"creationTimestamp": null}, "spec": {"containers": [container], "restartPolicy": "Never"}}},
    }))
}

fn cron_job(flags: &Flags) -> Result<Value> {
    let name = name(flags, 0)?;
    let mut container = json!({"image": required(flags, "image")?, "name": name, "resources": {}});
    if !flags.rest.is_empty() {
        container["command"] = json!(flags.rest);
    }
    let pod = json!({"containers": [container], "restartPolicy": flags.get("restart").unwrap_or("OnFailure")});
    Ok(json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"creationTimestamp": null, "name": name}, "status": {},
        "spec": {
            "schedule": required(flags, "schedule")?,
            "jobTemplate": {
                "metadata": {"creationTimestamp": null, "name": name},
                "spec": {"template": {"metadata": {"creationTimestamp": null}, "spec": pod}},
            },
        },
    }))
}

fn pairs(list: &[String]) -> Map<String, Value> {
    list.iter().filter_map(|p| p.split_once('=')).map(|(k, v)| (k.to_owned(), v.into())).collect()
}

/// `kubectl run`.
pub(crate) async fn run_pod(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("run", words, &[RUN, PRINT, WRITE])?;
    let Some(name) = flags.args.first() else {
        return Err(Failure::new("NAME is required for run\nSee 'kubectl run -h' for help and examples"));
    };
    let mut container = json!({"image": required(&flags, "image")?, "name": name, "resources": {}});
    let words: Vec<&String> = flags.args.iter().skip(1).chain(&flags.rest).collect();
    if !words.is_empty() {
        container[if flags.on("command") { "command" } else { "args" }] = json!(words);
    }
    let env: Vec<Value> = flags
        .all("env")
        .iter()
        .filter_map(|e| e.split_once('='))
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    if !env.is_empty() {
        container["env"] = env.into();
    }
    if let Some(port) = flags.number("port")? {
        container["ports"] = json!([{"containerPort": port}]);
    }
    if let Some(policy) = flags.get("image-pull-policy") {
        container["imagePullPolicy"] = policy.into();
    }
    let labels = if flags.get("labels").is_some() { Value::Object(pairs(&flags.list("labels"))) } else { json!({"run": name}) };
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": null, "labels": labels, "name": name},
        "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": flags.get("restart").unwrap_or("Always")},
        "status": {},
    });
    if let Some(overrides) = flags.get("overrides") {
        let patch = serde_json::from_str(overrides).map_err(Failure::new)?;
        object::patch::merge::apply(&mut object, patch).map_err(|e| Failure::new(e.message))?;
    }
    submit(k, &flags, object, "kubectl-run", "created").await
}

/// `kubectl expose`.
pub(crate) async fn expose(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("expose", words, &[EXPOSE, FILES, PRINT, WRITE])?;
    let (targets, missing) = k.targets(&flags, &flags.args).await?;
    for target in targets {
        let object = &target.object;
        let labels = match target.mapping.kind.as_str() {
            "Pod" => at(object, &["metadata", "labels"]),
            "Service" => at(object, &["spec", "selector"]),
            _ => at(object, &["spec", "selector", "matchLabels"]),
        };
        let selector = match flags.get("selector") {
            Some(_) => Value::Object(pairs(&flags.list("selector"))),
            None => labels.cloned().ok_or_else(|| Failure::new("couldn't retrieve selectors via --selector flag or introspection: the object has no labels and cannot be exposed"))?,
        };
        let pod = if target.mapping.kind == "Pod" { Some(object) } else { at(object, &["spec", "template"]) };
        let declared = pod.map_or(&[] as &[Value], |p| list_at(p, &["spec", "containers"]));
        let ports: Vec<i64> = match flags.get("port") {
            Some(_) => flags.list("port").iter().filter_map(|p| p.parse().ok()).collect(),
            None => {
                declared.iter().flat_map(|c| list_at(c, &["ports"])).filter_map(|p| p.get("containerPort")?.as_i64()).collect()
            }
        };
        if ports.is_empty() {
            return Err(Failure::new(
                "couldn't find port via --port flag or introspection\nSee 'kubectl expose -h' for help and examples",
            ));
        }
        let several = ports.len() > 1;
        let list: Vec<Value> = ports
            .iter()
            .enumerate()
            .map(|(i, port)| {
                let to = flags.get("target-port").map_or(Value::from(*port), |t| t.parse::<i64>().map_or(t.into(), Value::from));
                let mut out = json!({"port": port, "protocol": flags.get("protocol").unwrap_or("TCP"), "targetPort": to});
                if several {
                    out["name"] = format!("port-{}", i + 1).into();
                }
                out
            })
            .collect();
        let name = flags.get("name").unwrap_or(&target.name);
        let mut service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"creationTimestamp": null, "name": name},
            "spec": {"ports": list, "selector": selector}, "status": {"loadBalancer": {}},
        });
        let labels = if flags.get("labels").is_some() {
            Some(Value::Object(pairs(&flags.list("labels"))))
        } else {
            at(object, &["metadata", "labels"]).cloned()
        };
        if let Some(labels) = labels {
            service["metadata"]["labels"] = labels;
        }
        if let Some(kind) = flags.get("type") {
            service["spec"]["type"] = kind.into();
        }
        if let Some(address) = flags.get("cluster-ip") {
            service["spec"]["clusterIP"] = address.into();
        }
        submit(k, &flags, service, "kubectl-expose", "exposed").await?;
    }
    k.say_missing(&missing)
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_standard() {
        for (plain, coded) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj"), ("abcd", "YWJjZA==")] {
            assert_eq!(super::base64(plain.as_bytes()), coded);
        }
    }
}
