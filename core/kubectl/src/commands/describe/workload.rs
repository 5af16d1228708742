//! Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs.

use object::value::{at, i64_at, list_at, str_at};
use object::{LabelSelector, Value};

use super::super::select::Target;
use super::{Writer, conditions, controller, date, pod, selector_text, text_at};
use crate::api::query;
use crate::{Failure, Kubectl, Result};

pub(super) async fn deployment(k: &Kubectl<'_>, w: &mut Writer, target: &Target) -> Result<()> {
    let d = &target.object;
    let number = |path: &[&str]| i64_at(d, path).unwrap_or(0);
    w.head(d, true);
    w.field(0, "CreationTimestamp", date(str_at(d, &["metadata", "creationTimestamp"])));
    w.labels("", "Labels", at(d, &["metadata", "labels"]));
    w.annotations("", "Annotations", at(d, &["metadata", "annotations"]));
    w.field(0, "Selector", selector_text(at(d, &["spec", "selector"])));
    w.field(
        0,
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            number(&["spec", "replicas"]),
            number(&["status", "updatedReplicas"]),
            number(&["status", "replicas"]),
            number(&["status", "availableReplicas"]),
            number(&["status", "unavailableReplicas"])
        ),
    );
    w.field(0, "StrategyType", str_at(d, &["spec", "strategy", "type"]));
    w.field(0, "MinReadySeconds", number(&["spec", "minReadySeconds"]));
    if let Some(rolling) = at(d, &["spec", "strategy", "rollingUpdate"]) {
        let text =
            format!("{} max unavailable, {} max surge", text_at(rolling, &["maxUnavailable"]), text_at(rolling, &["maxSurge"]));
        w.field(0, "RollingUpdateStrategy", text);
    }
    pod::template(w, at(d, &["spec", "template"]).unwrap_or(&Value::Null));
    conditions(w, d);
    let sets = owned(k, target, "/apis/apps/v1", "replicasets").await?;
    let mut template = at(d, &["spec", "template"]).cloned().unwrap_or_default();
    object::value::remove(&mut template, &["metadata", "labels", "pod-template-hash"]);
    let is_new = |rs: &&Value| {
        let mut own = at(rs, &["spec", "template"]).cloned().unwrap_or_default();
        object::value::remove(&mut own, &["metadata", "labels", "pod-template-hash"]);
        own == template
    };
    let shown = |rs: &Value| {
        let n = |path: &[&str]| i64_at(rs, path).unwrap_or(0);
        format!(
            "{} ({}/{} replicas created)",
            str_at(rs, &["metadata", "name"]),
            n(&["status", "replicas"]),
            n(&["spec", "replicas"])
        )
    };
    let none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    let new = sets.iter().find(is_new);
    let new_uid = new.map_or("", |rs| str_at(rs, &["metadata", "uid"]));
    let old: Vec<String> = sets.iter().filter(|rs| str_at(rs, &["metadata", "uid"]) != new_uid).map(shown).collect();
    w.field(0, "OldReplicaSets", none(old.join(", ")));
    w.field(0, "NewReplicaSet", none(new.map(shown).unwrap_or_default()));
    Ok(())
}

/// What a selector selects and the object owns.
async fn owned(k: &Kubectl<'_>, target: &Target, root: &str, resource: &str) -> Result<Vec<Value>> {
    let selector = at(&target.object, &["spec", "selector"]).cloned().unwrap_or_default();
    let selector = LabelSelector::from_json(&selector).map_err(Failure::new)?.to_string();
    let path = format!("{root}/namespaces/{}/{resource}{}", target.namespace, query(&[("labelSelector", &selector)]));
    let list = k.get(&path).await?;
    let uid = str_at(&target.object, &["metadata", "uid"]);
    let mine = |o: &&Value| list_at(o, &["metadata", "ownerReferences"]).iter().any(|r| str_at(r, &["uid"]) == uid);
    Ok(list_at(&list, &["items"]).iter().filter(mine).cloned().collect())
}

pub(super) async fn describe(k: &Kubectl<'_>, w: &mut Writer, target: &Target) -> Result<()> {
    let o = &target.object;
    let number = |path: &[&str]| i64_at(o, path).unwrap_or(0);
    w.head(o, true);
    let kind = target.mapping.kind.as_str();
    if kind == "StatefulSet" {
        w.field(0, "CreationTimestamp", date(str_at(o, &["metadata", "creationTimestamp"])));
    }
    w.field(0, "Selector", selector_text(at(o, &["spec", "selector"])));
    if kind == "DaemonSet" {
        let selector = object::meta::string_map(at(o, &["spec", "template", "spec", "nodeSelector"]));
        let text: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        w.field(0, "Node-Selector", if text.is_empty() { "<none>".to_owned() } else { text.join(",") });
    }
    w.labels("", "Labels", at(o, &["metadata", "labels"]));
    w.annotations("", "Annotations", at(o, &["metadata", "annotations"]));
    if let Some(owner) = controller(o) {
        w.field(0, "Controlled By", owner);
    }
    match kind {
        "ReplicaSet" => w.field(
            0,
            "Replicas",
            format!("{} current / {} desired", number(&["status", "replicas"]), number(&["spec", "replicas"])),
        ),
        "StatefulSet" => {
            w.field(
                0,
                "Replicas",
                format!("{} desired | {} total", number(&["spec", "replicas"]), number(&["status", "replicas"])),
            );
            w.field(0, "Update Strategy", str_at(o, &["spec", "updateStrategy", "type"]));
            if let Some(partition) = at(o, &["spec", "updateStrategy", "rollingUpdate", "partition"]) {
                w.field(1, "Partition", partition);
            }
        }
        "DaemonSet" => {
            for (title, field) in [
                ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
                ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
                ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
                ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
                ("Number of Nodes Misscheduled", "numberMisscheduled"),
            ] {
                w.line(0, format!("{title}: {}", number(&["status", field])));
            }
        }
        _ => {
            w.field(0, "Parallelism", text_at(o, &["spec", "parallelism"]));
            w.field(0, "Completions", text_at(o, &["spec", "completions"]));
            w.field(0, "Completion Mode", str_at(o, &["spec", "completionMode"]));
            w.field(0, "Suspend", text_at(o, &["spec", "suspend"]));
            w.field(0, "Backoff Limit", text_at(o, &["spec", "backoffLimit"]));
            for (title, field) in [("Start Time", "startTime"), ("Completed At", "completionTime")] {
                let time = str_at(o, &["status", field]);
                if !time.is_empty() {
                    w.field(0, title, date(time));
                }
            }
            w.field(
                0,
                "Pods Statuses",
                format!(
                    "{} Active ({} Ready) / {} Succeeded / {} Failed",
                    number(&["status", "active"]),
                    number(&["status", "ready"]),
                    number(&["status", "succeeded"]),
                    number(&["status", "failed"])
                ),
            );
        }
    }
    if kind != "Job" {
        let pods = owned(k, target, "/api/v1", "pods").await?;
        let count = |phase: &str| pods.iter().filter(|p| str_at(p, &["status", "phase"]) == phase).count();
        w.field(
            0,
            "Pods Status",
            format!(
                "{} Running / {} Waiting / {} Succeeded / {} Failed",
                count("Running"),
                count("Pending"),
                count("Succeeded"),
                count("Failed")
            ),
        );
    }
    pod::template(w, at(o, &["spec", "template"]).unwrap_or(&Value::Null));
    if kind == "ReplicaSet" {
        conditions(w, o);
    }
    if kind == "StatefulSet" {
        w.field(0, "Volume Claims", if list_at(o, &["spec", "volumeClaimTemplates"]).is_empty() { "<none>" } else { "" });
    }
    Ok(())
}
