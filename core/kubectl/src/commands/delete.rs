//! `kubectl delete`: by name, file, selector or all of a kind, and waiting until the objects are gone.

use object::value::{list_at, str_at};
use object::{Value, json};

use super::select::Target;
use crate::api::{path, query};
use crate::flags::{FILES, Flag, Flags, SELECT, Takes, WRITE};
use crate::{Failure, Kubectl, Result};

const FLAGS: &[Flag] = &[
    ("grace-period", '\0', Takes::Value),
    ("force", '\0', Takes::Bool),
    ("now", '\0', Takes::Bool),
    ("wait", '\0', Takes::Bool),
    ("timeout", '\0', Takes::Value),
    ("cascade", '\0', Takes::Optional("background")),
    ("ignore-not-found", '\0', Takes::Bool),
    ("interactive", 'i', Takes::Bool),
    ("output", 'o', Takes::Value),
];

const IMMEDIATE: &str = "Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.";

pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("delete", words, &[FLAGS, FILES, SELECT, WRITE])?;
    let mut grace = flags.number("grace-period")?.filter(|g| *g >= 0);
    if flags.on("now") {
        grace = Some(1);
    }
    let force = flags.on("force");
    if force && grace.is_none() {
        grace = Some(0);
    }
    // Without force an immediate deletion still waits for the kubelet: one second is as good as none.
    if grace == Some(0) && !force {
        grace = Some(1);
    }
    if grace == Some(0) {
        k.error(IMMEDIATE);
    }
    let (targets, mut missing) = match flags.all("filename") {
        [] => named(k, &flags).await?,
        _ => k.targets(&flags, &[]).await?,
    };
    if flags.on("ignore-not-found") || flags.on("all") || flags.get("selector").is_some() {
        missing.clear();
    }
    let nothing_selected = targets.is_empty();
    let mut deleted = Vec::new();
    for target in targets {
        match delete(k, &flags, &target, grace).await {
            Ok(()) => {
                let what = if grace == Some(0) { "force deleted" } else { "deleted" };
                let suffix = match flags.text("dry-run") {
                    "server" => " (server dry run)",
                    "client" => " (dry run)",
                    _ => "",
                };
                match flags.text("output") {
                    "name" => k.line(&target.shown()),
                    _ => k.line(&format!("{} {:?} {what}{suffix}", target.mapping.singular_with_group(), target.name)),
                }
                deleted.push(target);
            }
            Err(failure) if failure.not_found && flags.on("ignore-not-found") => {}
            Err(failure) => missing.push(failure),
        }
    }
    if deleted.is_empty() && missing.is_empty() && nothing_selected {
        k.line("No resources found");
    }
    if flags.is("wait", true) && flags.text("dry-run").is_empty() && grace != Some(0) {
        wait(k, &deleted, flags.duration("timeout")?.filter(|t| *t > 0)).await?;
    }
    k.say_missing(&missing)
}

/// Objects named on the command line need not be read first, only to be deleted.
async fn named(k: &Kubectl<'_>, flags: &Flags) -> Result<(Vec<Target>, Vec<Failure>)> {
    if flags.args.is_empty() {
        return Err(Failure::new(
            "You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'",
        ));
    }
    let selections = k.selections(&flags.args).await?;
    let namespace = k.namespace_of(flags);
    let mut out = Vec::new();
    for selection in selections {
        if selection.names.is_empty() {
            let (labels, fields) = (flags.text("selector"), flags.text("field-selector"));
            if labels.is_empty() && fields.is_empty() && !flags.on("all") {
                return Err(Failure::new("resource(s) were provided, but no name was specified"));
            }
            let query = query(&[("labelSelector", labels), ("fieldSelector", fields)]);
            let list = k.get(&format!("{}{query}", path(&selection.mapping, &namespace, ""))).await?;
            out.extend(list_at(&list, &["items"]).iter().map(|item| Target {
                mapping: selection.mapping.clone(),
                namespace: str_at(item, &["metadata", "namespace"]).to_owned(),
                name: str_at(item, &["metadata", "name"]).to_owned(),
                object: item.clone(),
            }));
        }
        out.extend(selection.names.iter().map(|name| Target {
            mapping: selection.mapping.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            object: Value::Null,
        }));
    }
    Ok((out, Vec::new()))
}

async fn delete(k: &Kubectl<'_>, flags: &Flags, target: &Target, grace: Option<i64>) -> Result<()> {
    let policy = match flags.get("cascade").unwrap_or("background") {
        "background" | "true" => "Background",
        "orphan" | "false" => "Orphan",
        "foreground" => "Foreground",
        other => {
            return Err(Failure::new(format!(
                "invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
            )));
        }
    };
    let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
    if let Some(grace) = grace {
        options["gracePeriodSeconds"] = grace.into();
    }
    match flags.text("dry-run") {
        "client" => return Ok(()),
        "server" => options["dryRun"] = json!(["All"]),
        _ => {}
    }
    let body = ("application/json", options.to_string().into());
    k.json("DELETE", &target.path(), "application/json", Some(body)).await.map(drop)
}

/// Waits until each object is gone or another one has its name.
async fn wait(k: &Kubectl<'_>, deleted: &[Target], timeout: Option<u64>) -> Result<()> {
    let started = k.transport.now();
    for target in deleted {
        let uid = str_at(&target.object, &["metadata", "uid"]);
        let mut known = uid.to_owned();
        let mut pause = 50;
        while let Some(object) = k.find(&target.path()).await? {
            let uid = str_at(&object, &["metadata", "uid"]);
            if known.is_empty() {
                known = uid.to_owned();
            }
            let ended = object::value::at(&object, &["metadata", "deletionTimestamp"]).is_none_or(Value::is_null);
            if uid != known || ended {
                break;
            }
            if timeout.is_some_and(|t| k.transport.now().millis_since(started) >= t) {
                return Err(Failure::new(format!(
                    "timed out waiting for the condition on {}/{}",
                    target.mapping.resource, target.name
                )));
            }
            k.transport.sleep(pause).await;
            pause = (pause * 2).min(1000);
        }
    }
    Ok(())
}
