//! `kubectl logs`.

use object::value::{at, list_at, str_at};
use object::{LabelSelector, Value};

use crate::api::{path, query};
use crate::flags::{Flag, Flags, Takes};
use crate::{Failure, Kubectl, Result};

const FLAGS: &[Flag] = &[
    ("follow", 'f', Takes::Bool),
    ("previous", 'p', Takes::Bool),
    ("container", 'c', Takes::Value),
    ("all-containers", '\0', Takes::Bool),
    ("all-pods", '\0', Takes::Bool),
    ("tail", '\0', Takes::Value),
    ("since", '\0', Takes::Value),
    ("since-time", '\0', Takes::Value),
    ("timestamps", '\0', Takes::Bool),
    ("limit-bytes", '\0', Takes::Value),
    ("prefix", '\0', Takes::Bool),
    ("selector", 'l', Takes::Value),
    ("max-log-requests", '\0', Takes::Value),
    ("ignore-errors", '\0', Takes::Bool),
    ("pod-running-timeout", '\0', Takes::Value),
    ("insecure-skip-tls-verify-backend", '\0', Takes::Bool),
];

pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("logs", words, &[FLAGS])?;
    let namespace = k.namespace_of(&flags);
    let pods = match (flags.get("selector"), flags.args.as_slice()) {
        (None, []) => {
            return Err(Failure::plain(
                "error: expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command\nSee 'kubectl logs -h' for help and examples",
            ));
        }
        (Some(selector), _) => {
            let list = k.get(&format!("/api/v1/namespaces/{namespace}/pods{}", query(&[("labelSelector", selector)]))).await?;
            let pods = list_at(&list, &["items"]).to_vec();
            if pods.is_empty() {
                k.error(&format!("No resources found in {namespace} namespace."));
            }
            pods
        }
        (None, [name, rest @ ..]) => {
            let pod = pod_of(k, &namespace, name).await?;
            let container = rest.first().map(String::as_str);
            return one(k, &flags, &pod, container, false).await;
        }
    };
    let selected = flags.get("selector").is_some() && flags.get("tail").is_none();
    for pod in &pods {
        one(k, &flags, pod, None, selected).await?;
    }
    Ok(())
}

/// The pod of a name, or the first of those that a workload owns.
async fn pod_of(k: &Kubectl<'_>, namespace: &str, word: &str) -> Result<Value> {
    let Some((kind, name)) = word.split_once('/') else {
        let found = k.get(&format!("/api/v1/namespaces/{namespace}/pods/{word}")).await;
        return found.map_err(|e| match (e.not_found, e.message.strip_prefix("Error")) {
            (true, Some(rest)) => Failure::new(format!("error{rest} in namespace {namespace:?}")),
            _ => e,
        });
    };
    let mapping = k.mapping(kind).await?;
    let object = k.get(&path(&mapping, namespace, name)).await?;
    if mapping.kind == "Pod" {
        return Ok(object);
    }
    let selector = match at(&object, &["spec", "selector"]) {
        Some(selector) if selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some() => {
            LabelSelector::from_json(selector).map_err(Failure::new)?
        }
        Some(map) => LabelSelector::from_map(&object::meta::string_map(Some(map))),
        None => return Err(Failure::new(format!("cannot get the logs from {}: {name}", mapping.kind))),
    };
    let list =
        k.get(&format!("/api/v1/namespaces/{namespace}/pods{}", query(&[("labelSelector", &selector.to_string())]))).await?;
    let pods = list_at(&list, &["items"]);
    let running = pods.iter().find(|p| str_at(p, &["status", "phase"]) == "Running").or(pods.first());
    let Some(pod) = running else {
        return Err(Failure::new("timed out waiting for the condition"));
    };
    if pods.len() > 1 {
        k.error(&format!("Found {} pods, using pod/{}", pods.len(), str_at(pod, &["metadata", "name"])));
    }
    Ok(pod.clone())
}

async fn one(k: &Kubectl<'_>, flags: &Flags, pod: &Value, container: Option<&str>, selected: bool) -> Result<()> {
    let (namespace, name) = (str_at(pod, &["metadata", "namespace"]), str_at(pod, &["metadata", "name"]));
    let names =
        |list: &str| -> Vec<String> { list_at(pod, &["spec", list]).iter().map(|c| str_at(c, &["name"]).to_owned()).collect() };
    let (own, init) = (names("containers"), names("initContainers"));
    let containers: Vec<String> = match container.or(flags.get("container")) {
        Some(container) => {
            if !own.iter().chain(&init).any(|c| c == container) {
                return Err(Failure::new(format!("container {container} is not valid for pod {name}")));
            }
            vec![container.to_owned()]
        }
        None if flags.on("all-containers") => init.iter().chain(&own).cloned().collect(),
        None => {
            let chosen = object::meta::annotation(pod, "kubectl.kubernetes.io/default-container");
            let first = chosen.map(str::to_owned).or_else(|| own.first().cloned()).unwrap_or_default();
            if own.len() + init.len() > 1 && chosen.is_none() {
                let all: Vec<String> = own.iter().cloned().chain(init.iter().map(|c| format!("{c} (init)"))).collect();
                k.error(&format!("Defaulted container {first:?} out of: {}", all.join(", ")));
            }
            vec![first]
        }
    };
    let since = flags.duration("since")?.map(|ms| ms.div_ceil(1000).to_string()).unwrap_or_default();
    let tail = match flags.number("tail")? {
        Some(n) if n >= 0 => n.to_string(),
        None if selected => "10".to_owned(),
        _ => String::new(),
    };
    let switch = |name: &str| if flags.on(name) { "true" } else { "" };
    for container in &containers {
        let target = format!("/api/v1/namespaces/{namespace}/pods/{name}/log")
            + &query(&[
                ("container", container),
                ("follow", switch("follow")),
                ("limitBytes", flags.text("limit-bytes")),
                ("previous", switch("previous")),
                ("sinceSeconds", &since),
                ("sinceTime", flags.text("since-time")),
                ("tailLines", &tail),
                ("timestamps", switch("timestamps")),
            ]);
        let mut stream = k.open("GET", &target, "application/json, */*", None).await?;
        let prefix = flags.on("prefix").then(|| format!("[pod/{name}/{container}] "));
        let mut rest = Vec::new();
        while let Some(piece) = stream.body.next().await.map_err(Failure::new)? {
            match &prefix {
                None => k.output.borrow_mut().stdout(&piece),
                Some(prefix) => {
                    rest.extend_from_slice(&piece);
                    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                        let line: Vec<u8> = rest.drain(..=end).collect();
                        k.print(&format!("{prefix}{}", String::from_utf8_lossy(&line)));
                    }
                }
            }
        }
    }
    Ok(())
}
