//! `kubectl scale` and `kubectl rollout`: status, history, undo, restart, pause, resume.

use object::order::Order as _;
use object::value::{at, bool_at, i64_at, list_at, str_at};
use object::{LabelSelector, Value, json};

use super::select::Target;
use crate::api::query;
use crate::flags::{FILES, Flag, Flags, PRINT, SELECT, Takes, WRITE};
use crate::print::columns::tabbed;
use crate::{Failure, Kubectl, Result};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
const FLAGS: &[Flag] = &[
    ("watch", 'w', Takes::Bool),
    ("timeout", '\0', Takes::Value),
    ("revision", '\0', Takes::Value),
    ("to-revision", '\0', Takes::Value),
];
const SCALE: &[Flag] = &[
    ("replicas", '\0', Takes::Value),
    ("current-replicas", '\0', Takes::Value),
    ("resource-version", '\0', Takes::Value),
    ("timeout", '\0', Takes::Value),
];

/// `kubectl scale`.
pub(crate) async fn scale(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("scale", words, &[SCALE, FILES, PRINT, SELECT, WRITE])?;
    let Some(replicas) = flags.number("replicas")? else {
        return Err(Failure::new("required flag(s) \"replicas\" not set"));
    };
    if replicas < 0 {
        return Err(Failure::new("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0"));
    }
    let (targets, missing) = k.targets(&flags, &flags.args).await?;
    for target in targets {
        let path = format!("{}/scale", target.path());
        if let Some(expected) = flags.number("current-replicas")?.filter(|n| *n >= 0) {
            let have = i64_at(&k.get(&path).await?, &["spec", "replicas"]).unwrap_or(0);
            if have != expected {
                return Err(Failure::new(format!("Expected replicas to be {expected}, was {have}")));
            }
        }
        let options = query(&[("dryRun", if flags.text("dry-run") == "server" { "All" } else { "" })]);
        if flags.text("dry-run") != "client" {
            k.patch(&format!("{path}{options}"), "merge", &json!({"spec": {"replicas": replicas}})).await?;
        }
        k.report(&flags, &target.object, "scaled")?;
    }
    k.say_missing(&missing)
}

pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let Some((verb, rest)) = words.split_first() else {
        k.print(super::help::text("rollout").unwrap_or_default());
        return Ok(());
    };
    let flags = Flags::parse(&format!("rollout {verb}"), rest, &[FLAGS, FILES, PRINT, SELECT, WRITE])?;
    if flags.args.is_empty() && flags.all("filename").is_empty() {
        return Err(Failure::new("required resource not specified"));
    }
    let (targets, missing) = k.targets(&flags, &flags.args).await?;
    for target in &targets {
        match verb.as_str() {
            "status" => status(k, &flags, target).await?,
            "history" => history(k, &flags, target).await?,
            "undo" => undo(k, &flags, target).await?,
            "restart" => restart(k, &flags, target).await?,
            "pause" => pause(k, &flags, target, true).await?,
            "resume" => pause(k, &flags, target, false).await?,
            other => return Err(Failure::new(format!("unknown command {other:?} for \"kubectl rollout\""))),
        }
    }
    k.say_missing(&missing)
}

/// What is said of a rollout, and whether it is over.
fn progress(target: &Target) -> Result<(String, bool)> {
    let (object, name) = (&target.object, &target.name);
    let number = |path: &[&str]| i64_at(object, path).unwrap_or(0);
    let observed = number(&["metadata", "generation"]) <= number(&["status", "observedGeneration"]);
    let (updated, available) = (number(&["status", "updatedReplicas"]), number(&["status", "availableReplicas"]));
    match target.mapping.kind.as_str() {
        "Deployment" => {
            if !observed {
                return Ok(("Waiting for deployment spec update to be observed...\n".to_owned(), false));
            }
            let failed = list_at(object, &["status", "conditions"])
                .iter()
                .any(|c| str_at(c, &["type"]) == "Progressing" && str_at(c, &["reason"]) == "ProgressDeadlineExceeded");
            if failed {
                return Err(Failure::new(format!("deployment {name:?} exceeded its progress deadline")));
            }
            let replicas = i64_at(object, &["spec", "replicas"]);
            let total = number(&["status", "replicas"]);
            let waiting = format!("Waiting for deployment {name:?} rollout to finish: ");
            if replicas.is_some_and(|r| updated < r) {
                let wanted = replicas.unwrap_or(0);
                return Ok((format!("{waiting}{updated} out of {wanted} new replicas have been updated...\n"), false));
            }
            if total > updated {
                return Ok((format!("{waiting}{} old replicas are pending termination...\n", total - updated), false));
            }
            if available < updated {
                return Ok((format!("{waiting}{available} of {updated} updated replicas are available...\n"), false));
            }
            Ok((format!("deployment {name:?} successfully rolled out\n"), true))
        }
        "DaemonSet" => {
            if !observed {
                return Ok(("Waiting for daemon set spec update to be observed...\n".to_owned(), false));
            }
            let desired = number(&["status", "desiredNumberScheduled"]);
            let (updated, available) = (number(&["status", "updatedNumberScheduled"]), number(&["status", "numberAvailable"]));
            let waiting = format!("Waiting for daemon set {name:?} rollout to finish: ");
            if updated < desired {
                return Ok((format!("{waiting}{updated} out of {desired} new pods have been updated...\n"), false));
            }
            if available < desired {
                return Ok((format!("{waiting}{available} of {desired} updated pods are available...\n"), false));
            }
            Ok((format!("daemon set {name:?} successfully rolled out\n"), true))
        }
        "StatefulSet" => {
            if !observed {
                return Ok(("Waiting for statefulset spec update to be observed...\n".to_owned(), false));
            }
            let replicas = number(&["spec", "replicas"]);
            let ready = number(&["status", "readyReplicas"]);
            if ready < replicas {
                return Ok((format!("Waiting for {} pods to be ready...\n", replicas - ready), false));
            }
            if str_at(object, &["status", "updateRevision"]) != str_at(object, &["status", "currentRevision"]) {
                let revision = str_at(object, &["status", "updateRevision"]);
                return Ok((
                    format!("waiting for statefulset rolling update to complete {updated} pods at revision {revision}...\n"),
                    false,
                ));
            }
            let current = number(&["status", "currentReplicas"]);
            let revision = str_at(object, &["status", "currentRevision"]);
            Ok((format!("statefulset rolling update complete {current} pods at revision {revision}...\n"), true))
        }
        _ => Err(Failure::new(format!("no status viewer has been implemented for {}", target.mapping.kind))),
    }
}

async fn status(k: &Kubectl<'_>, flags: &Flags, target: &Target) -> Result<()> {
    let timeout = flags.duration("timeout")?.filter(|t| *t > 0);
    let started = k.transport.now();
    let mut target = target.clone();
    let mut said = String::new();
    loop {
        let (text, done) = progress(&target)?;
        if text != said {
            k.print(&text);
            said = text;
        }
        if done || !flags.is("watch", true) {
            return Ok(());
        }
        if timeout.is_some_and(|t| k.transport.now().millis_since(started) >= t) {
            return Err(Failure::new("timed out waiting for the condition"));
        }
        k.transport.sleep(100).await;
        target.object = k.get(&target.path()).await?;
    }
}

/// The ReplicaSets of a Deployment with their revisions, oldest first.
async fn revisions(k: &Kubectl<'_>, target: &Target) -> Result<Vec<(i64, Value)>> {
    if target.mapping.kind != "Deployment" {
        return Err(Failure::new(format!(
            "no history viewer has been implemented for {:?}",
            target.mapping.singular_with_group()
        )));
    }
    let selector = at(&target.object, &["spec", "selector"]).cloned().unwrap_or_default();
    let selector = LabelSelector::from_json(&selector).map_err(Failure::new)?.to_string();
    let path = format!("/apis/apps/v1/namespaces/{}/replicasets{}", target.namespace, query(&[("labelSelector", &selector)]));
    let list = k.get(&path).await?;
    let uid = str_at(&target.object, &["metadata", "uid"]);
    let owned = |rs: &&Value| list_at(rs, &["metadata", "ownerReferences"]).iter().any(|o| str_at(o, &["uid"]) == uid);
    let mut out: Vec<(i64, Value)> = list_at(&list, &["items"])
        .iter()
        .filter(owned)
        .filter_map(|rs| Some((object::meta::annotation(rs, REVISION)?.parse().ok()?, rs.clone())))
        .collect();
    out.order_by_key(|(revision, _)| *revision);
    Ok(out)
}

async fn history(k: &Kubectl<'_>, flags: &Flags, target: &Target) -> Result<()> {
    let all = revisions(k, target).await?;
    let cause = |rs: &Value| object::meta::annotation(rs, CHANGE_CAUSE).unwrap_or("<none>").to_owned();
    if let Some(wanted) = flags.number("revision")?.filter(|r| *r > 0) {
        let Some((_, rs)) = all.iter().find(|(r, _)| *r == wanted) else {
            return Err(Failure::new("unable to find the specified revision"));
        };
        k.print(&format!("{} with revision #{wanted}\n", target.shown()));
        k.print(&super::describe::template_text(at(rs, &["spec", "template"]).unwrap_or(&Value::Null)));
        k.print("\n");
        return Ok(());
    }
    let mut text = format!("{} \nREVISION\tCHANGE-CAUSE\n", target.shown());
    for (revision, rs) in &all {
        text += &format!("{revision}\t{}\n", cause(rs));
    }
    k.print(&tabbed(&text, crate::print::columns::Layout { min_width: 0, padding: 2 }));
    k.print("\n");
    Ok(())
}

async fn undo(k: &Kubectl<'_>, flags: &Flags, target: &Target) -> Result<()> {
    if bool_at(&target.object, &["spec", "paused"]) {
        return Err(Failure::new(
            "you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again",
        ));
    }
    let all = revisions(k, target).await?;
    let wanted = flags.number("to-revision")?.unwrap_or(0);
    let found = if wanted > 0 { all.iter().find(|(r, _)| *r == wanted) } else { all.iter().rev().nth(1) };
    let Some((revision, rs)) = found else {
        return Err(Failure::new(match wanted {
            0 => format!("no rollout history found for deployment {:?}", target.name),
            _ => format!("unable to find specified revision {wanted} in history"),
        }));
    };
    let mut template = at(rs, &["spec", "template"]).cloned().unwrap_or_default();
    object::value::remove(&mut template, &["metadata", "labels", "pod-template-hash"]);
    if at(&target.object, &["spec", "template"]) == Some(&template) {
        return k.report(
            flags,
            &target.object,
            &format!("skipped rollback (current template already matches revision {revision})"),
        );
    }
    let patch = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
    if flags.text("dry-run") != "client" {
        k.patch(&format!("{}?fieldManager=kubectl-rollout", target.path()), "json", &patch).await?;
    }
    k.report(flags, &target.object, "rolled back")
}

async fn restart(k: &Kubectl<'_>, flags: &Flags, target: &Target) -> Result<()> {
    if bool_at(&target.object, &["spec", "paused"]) {
        return Err(Failure::new(format!("can't restart paused deployment (run rollout resume first): {}", target.name)));
    }
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {
        "kubectl.kubernetes.io/restartedAt": k.transport.now().rfc3339()
    }}}}});
    let patched = k.patch(&format!("{}?fieldManager=kubectl-rollout", target.path()), "strategic-merge", &patch).await?;
    k.report(flags, &patched, "restarted")
}

async fn pause(k: &Kubectl<'_>, flags: &Flags, target: &Target, paused: bool) -> Result<()> {
    let word = if paused { "paused" } else { "resumed" };
    if target.mapping.kind != "Deployment" {
        return Err(Failure::new(format!("{} {:?} {} is not supported", target.mapping.resource, target.name, word)));
    }
    if bool_at(&target.object, &["spec", "paused"]) == paused {
        let already = if paused { "already paused" } else { "not paused" };
        return Err(Failure::new(format!("{} {:?} is {already}", target.mapping.group_resource(), target.name)));
    }
    let value = if paused { Value::Bool(true) } else { Value::Null };
    let target_path = format!("{}?fieldManager=kubectl-rollout", target.path());
    let patched = k.patch(&target_path, "strategic-merge", &json!({"spec": {"paused": value}})).await?;
    k.report(flags, &patched, word)
}
