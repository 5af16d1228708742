//! Namespaces, ConfigMaps, Secrets, and every kind that has no description of its own.

use object::Value;
use object::value::{at, list_at, str_at};

use super::super::select::Target;
use super::{Writer, shown};
use crate::{Kubectl, Result};

pub(super) async fn namespace(k: &Kubectl<'_>, w: &mut Writer, target: &Target) -> Result<()> {
    let o = &target.object;
    w.head(o, false);
    w.labels("", "Labels", at(o, &["metadata", "labels"]));
    w.annotations("", "Annotations", at(o, &["metadata", "annotations"]));
    w.field(0, "Status", str_at(o, &["status", "phase"]));
    for (resource, title, none) in [
        ("resourcequotas", "Resource Quotas", "No resource quota."),
        ("limitranges", "Resource Limits", "No LimitRange resource."),
    ] {
        let list = k.get(&format!("/api/v1/namespaces/{}/{resource}", target.name)).await?;
        w.line(0, "");
        let items = list_at(&list, &["items"]);
        if items.is_empty() {
            w.line(0, none);
            continue;
        }
        w.line(0, title);
        for item in items {
            w.field(1, "Name", str_at(item, &["metadata", "name"]));
            let (hard, used) = (
                object::meta::string_map(at(item, &["status", "hard"])),
                object::meta::string_map(at(item, &["status", "used"])),
            );
            if !hard.is_empty() {
                w.line(1, "Resource\tUsed\tHard");
                w.line(1, "--------\t---\t---");
            }
            for (name, limit) in hard {
                w.line(1, format!("{name}\t{}\t{limit}", used.get(&name).map_or("0", String::as_str)));
            }
        }
    }
    Ok(())
}

fn head(w: &mut Writer, o: &Value) {
    w.head(o, !str_at(o, &["metadata", "namespace"]).is_empty());
    w.labels("", "Labels", at(o, &["metadata", "labels"]));
    w.annotations("", "Annotations", at(o, &["metadata", "annotations"]));
}

pub(super) fn config_map(w: &mut Writer, o: &Value) {
    head(w, o);
    w.text += "\nData\n====\n";
    for (key, value) in object::meta::string_map(at(o, &["data"])) {
        w.text += &format!("{key}:\n----\n{value}\n\n");
    }
    w.text += "\nBinaryData\n====\n";
    for (key, value) in object::meta::string_map(at(o, &["binaryData"])) {
        w.text += &format!("{key}: {} bytes\n", decoded_length(&value));
    }
    w.text += "\n";
}

pub(super) fn secret(w: &mut Writer, o: &Value) {
    head(w, o);
    w.text += &format!("\nType:\t{}\n\nData\n====\n", str_at(o, &["type"]));
    for (key, value) in object::meta::string_map(at(o, &["data"])) {
        w.text += &format!("{key}:\t{} bytes\n", decoded_length(&value));
    }
}

pub(super) fn service_account(w: &mut Writer, o: &Value) {
    head(w, o);
    for (title, field) in [("Image pull secrets", "imagePullSecrets"), ("Mountable secrets", "secrets"), ("Tokens", "tokens")] {
        let names: Vec<&str> = list_at(o, &[field]).iter().map(|s| str_at(s, &["name"])).collect();
        w.field(0, title, if names.is_empty() { "<none>".to_owned() } else { names.join("\n\t") });
    }
}

/// How many bytes a base64 text stands for.
fn decoded_length(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

pub(super) fn describe(w: &mut Writer, o: &Value) {
    head(w, o);
    w.field(0, "API Version", str_at(o, &["apiVersion"]));
    w.field(0, "Kind", str_at(o, &["kind"]));
    let mut rest = o.clone();
    if let Some(map) = rest.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
    }
    if let Some(metadata) = rest.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["name", "namespace", "labels", "annotations", "managedFields"] {
            metadata.remove(field);
        }
    }
    content(w, 0, &rest, 0);
}

/// `creationTimestamp` as `Creation Timestamp`.
fn title(field: &str) -> String {
    let mut out = String::new();
    let mut lower = false;
    for (i, c) in field.chars().enumerate() {
        if i == 0 {
            out.extend(c.to_uppercase());
        } else {
            if c.is_uppercase() && lower {
                out.push(' ');
            }
            out.push(c);
        }
        lower = c.is_lowercase() || c.is_ascii_digit();
    }
    match out.as_str() {
        "Uid" => "UID".to_owned(),
        _ => out,
    }
}

fn content(w: &mut Writer, level: usize, value: &Value, depth: u32) {
    let Some(map) = value.as_object().filter(|_| depth < 64) else { return };
    for (key, value) in map {
        let name = title(key);
        match value {
            Value::Object(below) if below.is_empty() => w.field(level, &name, ""),
            Value::Object(_) => {
                w.line(level, format!("{name}:"));
                content(w, level + 1, value, depth + 1);
            }
            Value::Array(items) => {
                w.line(level, format!("{name}:"));
                for item in items {
                    if item.is_object() {
                        content(w, level + 1, item, depth + 1);
                    } else {
                        w.line(level + 1, shown(Some(item)));
                    }
                }
            }
            other => w.field(level, &name, shown(Some(other))),
        }
    }
}
