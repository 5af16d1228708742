//! `kubectl label`, `annotate` and `set image`.

use object::value::{at, list_at, str_at};
use object::{Map, Value, json};

use crate::api::query;
use crate::flags::{FILES, Flag, Flags, PRINT, SELECT, Takes, WRITE};
use crate::{Failure, Kubectl, Result};

const FLAGS: &[Flag] = &[("list", '\0', Takes::Bool), ("resource-version", '\0', Takes::Value), ("local", '\0', Takes::Bool)];

/// `kubectl label` or `kubectl annotate`.
pub(crate) async fn run(k: &Kubectl<'_>, command: &str, words: &[String]) -> Result<()> {
    let flags = Flags::parse(command, words, &[FLAGS, FILES, PRINT, SELECT, WRITE])?;
    let is_change = |a: &&String| a.contains('=') || (a.ends_with('-') && a.len() > 1);
    let split = flags.args.iter().position(|a| is_change(&a)).unwrap_or(flags.args.len());
    let (resources, changes) = flags.args.split_at(split);
    let (field, word) = if command == "label" { ("labels", "label") } else { ("annotations", "annotation") };
    if changes.is_empty() && !flags.on("list") {
        return Err(Failure::new(format!("at least one {word} update is required")));
    }
    if let Some(wrong) = changes.iter().find(|c| !is_change(c)) {
        return Err(Failure::new(format!("all resources must be specified before {word} changes: {wrong}")));
    }
    let (targets, missing) = k.targets(&flags, resources).await?;
    for target in targets {
        let have = object::meta::string_map(at(&target.object, &["metadata", field]));
        if flags.on("list") {
            have.iter().for_each(|(key, value)| k.line(&format!("{key}={value}")));
            continue;
        }
        let mut wanted = Map::new();
        let (mut added, mut removed) = (false, false);
        for change in changes {
            match change.split_once('=') {
                Some((key, value)) => {
                    if have.get(key).is_some_and(|old| old != value) && !flags.on("overwrite") {
                        let old = have.get(key).map_or("", String::as_str);
                        return Err(Failure::new(match command {
                            "label" => format!("'{key}' already has a value ({old}), and --overwrite is false"),
                            _ => format!(
                                "--overwrite is false but found the following declared annotation(s): '{key}' already has a value ({old})"
                            ),
                        }));
                    }
                    added |= have.get(key).map(String::as_str) != Some(value);
                    wanted.insert(key.to_owned(), value.into());
                }
                None => {
                    let key = change.trim_end_matches('-');
                    if have.contains_key(key) {
                        removed = true;
                        wanted.insert(key.to_owned(), Value::Null);
                    } else {
                        k.line(&format!("{word} {key:?} not found."));
                    }
                }
            }
        }
        let what = match (command, added, removed) {
            ("annotate", ..) => "annotated",
            (_, true, _) => "labeled",
            (_, _, true) => "unlabeled",
            _ => "not labeled",
        };
        let dry = if flags.text("dry-run") == "server" { "All" } else { "" };
        let manager = if command == "label" { "kubectl-label" } else { "kubectl-annotate" };
        let options = query(&[("dryRun", dry), ("fieldManager", flags.get("field-manager").unwrap_or(manager))]);
        let object = if wanted.is_empty() || flags.text("dry-run") == "client" {
            target.object.clone()
        } else {
            k.patch(&format!("{}{options}", target.path()), "merge", &json!({"metadata": {field: wanted}})).await?
        };
        k.report(&flags, &object, what)?;
    }
    k.say_missing(&missing)
}

/// `kubectl set image TYPE/NAME CONTAINER=IMAGE...`, and `set env`.
pub(crate) async fn set(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let Some((what, rest)) = words.split_first().filter(|(w, _)| matches!(w.as_str(), "image" | "env")) else {
        return Err(Failure::new("only `set image` and `set env` are known here"));
    };
    let flags =
        Flags::parse(&format!("set {what}"), rest, &[FLAGS, FILES, PRINT, SELECT, WRITE, &[("containers", 'c', Takes::Value)]])?;
    let is_change = |a: &String| a.contains('=') || (what == "env" && a.ends_with('-'));
    let (changes, resources): (Vec<String>, Vec<String>) = flags.args.iter().cloned().partition(is_change);
    if changes.is_empty() {
        return Err(Failure::new(format!("at least one {what} update is required")));
    }
    let (targets, missing) = k.targets(&flags, &resources).await?;
    for target in targets {
        let base: &[&str] = if target.mapping.kind == "Pod" { &["spec"] } else { &["spec", "template", "spec"] };
        let pod = at(&target.object, base).unwrap_or(&Value::Null);
        let mut lists = Map::new();
        for list in ["containers", "initContainers"] {
            let mut items = Vec::new();
            for container in list_at(pod, &[list]) {
                let name = str_at(container, &["name"]);
                let mut item = json!({"name": name});
                for change in &changes {
                    let (key, value) = change.split_once('=').unwrap_or((change.trim_end_matches('-'), ""));
                    if what == "image" && (key == name || key == "*") {
                        item["image"] = value.into();
                    } else if what == "env" && list == "containers" {
                        let entry = if change.contains('=') {
                            json!({"name": key, "value": value})
                        } else {
                            json!({"name": key, "$patch": "delete"})
                        };
                        match item["env"].as_array_mut() {
                            Some(env) => env.push(entry),
                            None => item["env"] = json!([entry]),
                        }
                    }
                }
                if item.as_object().is_some_and(|m| m.len() > 1) {
                    items.push(item);
                }
            }
            if !items.is_empty() {
                lists.insert(list.to_owned(), items.into());
            }
        }
        if what == "image" {
            let known = |key: &str| {
                key == "*"
                    || ["containers", "initContainers"]
                        .iter()
                        .any(|l| list_at(pod, &[l]).iter().any(|c| str_at(c, &["name"]) == key))
            };
            if let Some(key) = changes.iter().filter_map(|c| c.split_once('=')).map(|(key, _)| key).find(|key| !known(key)) {
                return Err(Failure::new(format!("unable to find container named {key:?}")));
            }
        }
        let mut patch = Value::Object(lists);
        for key in base.iter().rev() {
            patch = json!({*key: patch});
        }
        let options =
            query(&[("fieldManager", "kubectl-set"), ("dryRun", if flags.text("dry-run") == "server" { "All" } else { "" })]);
        let patched = k.patch(&format!("{}{options}", target.path()), "strategic-merge", &patch).await?;
        if str_at(&patched, &["metadata", "resourceVersion"]) != str_at(&target.object, &["metadata", "resourceVersion"]) {
            k.report(&flags, &patched, &format!("{what} updated"))?;
        }
    }
    k.say_missing(&missing)
}
