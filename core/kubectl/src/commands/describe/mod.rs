//! `kubectl describe`: one text for each kind that people look at most, a general one for the rest, and the events of each.

mod general;
mod node;
mod pod;
mod service;
mod workload;

use object::order::Order as _;
use object::value::{at, i64_at, list_at, str_at};
use object::{Time, Value};

use super::select::Target;
use crate::api::query;
use crate::flags::{FILES, Flag, Flags, SELECT, Takes};
use crate::print::columns::{DESCRIBE, tabbed};
use crate::{Failure, Kubectl, Result};

pub(crate) use pod::template_text;

const FLAGS: &[Flag] = &[("show-events", '\0', Takes::Bool), ("chunk-size", '\0', Takes::Value)];

pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let mut flags = Flags::parse("describe", words, &[FLAGS, FILES, SELECT])?;
    if flags.args.is_empty() && flags.all("filename").is_empty() {
        return Err(Failure::new(
            "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.",
        ));
    }
    flags.imply("all", "true");
    let (targets, mut missing) = k.targets(&flags, &flags.args).await?;
    let mut targets = targets;
    if targets.is_empty() && !missing.is_empty() && flags.args.len() == 2 {
        // A name that nothing has may be the beginning of names.
        let (found, _) = k.targets(&flags, &flags.args[..1]).await?;
        targets = found.into_iter().filter(|t| t.name.starts_with(&flags.args[1])).collect();
        if !targets.is_empty() {
            missing.clear();
        }
    }
    for (i, target) in targets.iter().enumerate() {
        if i > 0 {
            k.print("\n\n");
        }
        let text = describe(k, target, flags.is("show-events", true)).await?;
        k.print(&text);
    }
    if targets.is_empty() && missing.is_empty() {
        let namespace = k.namespace_of(&flags);
        k.error(&if namespace.is_empty() {
            "No resources found".to_owned()
        } else {
            format!("No resources found in {namespace} namespace.")
        });
    }
    k.say_missing(&missing)
}

async fn describe(k: &Kubectl<'_>, target: &Target, show_events: bool) -> Result<String> {
    let mut w = Writer { text: String::new(), now: k.transport.now() };
    match target.mapping.kind.as_str() {
        "Pod" => pod::describe(&mut w, &target.object),
        "Deployment" => workload::deployment(k, &mut w, target).await?,
        "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => workload::describe(k, &mut w, target).await?,
        "Service" => service::describe(k, &mut w, target).await?,
        "Node" => node::describe(k, &mut w, &target.object).await?,
        "Namespace" => general::namespace(k, &mut w, target).await?,
        "ConfigMap" => general::config_map(&mut w, &target.object),
        "Secret" => {
            general::secret(&mut w, &target.object);
            return Ok(tabbed(&w.text, DESCRIBE));
        }
        "ServiceAccount" => general::service_account(&mut w, &target.object),
        _ => general::describe(&mut w, &target.object),
    }
    if target.mapping.kind == "Namespace" {
        return Ok(tabbed(&w.text, DESCRIBE));
    }
    if show_events {
        events(k, &mut w, target).await?;
    }
    Ok(tabbed(&w.text, DESCRIBE))
}

/// Collects a description; cells are parted by tabs, and aligned at the end.
struct Writer {
    text: String,
    now: Time,
}

impl Writer {
    /// A line, `level` times two blanks in.
    fn line(&mut self, level: usize, text: impl AsRef<str>) {
        self.text.extend(std::iter::repeat_n("  ", level));
        self.text += text.as_ref();
        self.text.push('\n');
    }

    /// `name:\tvalue`.
    fn field(&mut self, level: usize, name: &str, value: impl std::fmt::Display) {
        self.line(level, format!("{name}:\t{value}"));
    }

    /// `k=v` under each other.
    fn labels(&mut self, indent: &str, name: &str, labels: Option<&Value>) {
        let labels = object::meta::string_map(labels);
        if labels.is_empty() {
            self.line(0, format!("{indent}{name}:\t<none>"));
        }
        for (i, (key, value)) in labels.iter().enumerate() {
            let head = if i == 0 { format!("{indent}{name}:\t") } else { "\t".to_owned() };
            self.line(0, format!("{head}{key}={value}"));
        }
    }

    /// Annotations, apart from those that only machines read.
    fn annotations(&mut self, indent: &str, name: &str, annotations: Option<&Value>) {
        let mut annotations = object::meta::string_map(annotations);
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        if annotations.is_empty() {
            self.line(0, format!("{indent}{name}:\t<none>"));
        }
        for (i, (key, value)) in annotations.iter().enumerate() {
            let head = if i == 0 { format!("{indent}{name}:\t") } else { "\t".to_owned() };
            let value = value.trim_end_matches('\n');
            if value.len() + key.len() + 2 > 140 || value.contains('\n') {
                self.line(0, format!("{head}{key}:"));
                for line in value.split('\n') {
                    let short: String = line.chars().take(138).collect();
                    let dots = if short.len() < line.len() { "..." } else { "" };
                    self.line(0, format!("\t  {short}{dots}"));
                }
            } else {
                self.line(0, format!("{head}{key}: {value}"));
            }
        }
    }

    /// Name, namespace and what else every description begins with.
    fn head(&mut self, object: &Value, namespaced: bool) {
        self.field(0, "Name", str_at(object, &["metadata", "name"]));
        if namespaced {
            self.field(0, "Namespace", str_at(object, &["metadata", "namespace"]));
        }
    }
}

/// `Fri, 20 Nov 2026 22:00:00 +0000`.
fn date(text: &str) -> String {
    let Some(time) = Time::parse(text) else { return "<unset>".to_owned() };
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let iso = time.rfc3339();
    let part = |from: usize, to: usize| iso.get(from..to).unwrap_or("");
    let month = part(5, 7).parse::<usize>().ok().and_then(|m| MONTHS.get(m.wrapping_sub(1))).copied().unwrap_or("");
    let day = DAYS[(time.secs() / 86_400 % 7) as usize];
    format!("{day}, {} {month} {} {} +0000", part(8, 10), part(0, 4), part(11, 19))
}

/// `5m`, `2d3h`: Kubernetes' short durations.
pub(crate) fn short_duration(secs: u64) -> String {
    let (minutes, hours, days, years) = (secs / 60, secs / 3600, secs / 86_400, secs / 31_536_000);
    let two =
        |a: u64, unit: &str, b: u64, small: &str| if b == 0 { format!("{a}{unit}") } else { format!("{a}{unit}{b}{small}") };
    match () {
        _ if secs < 120 => format!("{secs}s"),
        _ if minutes < 10 => two(minutes, "m", secs % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if years < 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

fn since(now: Time, text: &str) -> String {
    Time::parse(text).map_or("<unknown>".to_owned(), |t| short_duration(now.secs_since(t)))
}

/// `a=b,c=d` of a selector, `<none>` if it is empty.
fn selector_text(selector: Option<&Value>) -> String {
    let parsed = selector.and_then(|s| object::LabelSelector::from_json(s).ok());
    match parsed.map(|s| s.to_string()) {
        Some(text) if !text.is_empty() => text,
        _ => "<none>".to_owned(),
    }
}

/// `ReplicaSet/web-1`, if something controls the object.
fn controller(object: &Value) -> Option<String> {
    let owner =
        list_at(object, &["metadata", "ownerReferences"]).iter().find(|o| o.get("controller") == Some(&Value::Bool(true)))?;
    Some(format!("{}/{}", str_at(owner, &["kind"]), str_at(owner, &["name"])))
}

async fn events(k: &Kubectl<'_>, w: &mut Writer, target: &Target) -> Result<()> {
    let uid = str_at(&target.object, &["metadata", "uid"]);
    let mut fields = format!("involvedObject.name={}", target.name);
    // A Node's events are recorded under its name.
    let uid = if target.mapping.kind == "Node" { target.name.as_str() } else { uid };
    fields += &format!(",involvedObject.kind={},involvedObject.uid={uid}", target.mapping.kind);
    if !target.namespace.is_empty() {
        fields = format!("involvedObject.namespace={},{fields}", target.namespace);
    }
    let base = if target.namespace.is_empty() {
        "/api/v1/events".to_owned()
    } else {
        format!("/api/v1/namespaces/{}/events", target.namespace)
    };
    let list = k.get(&format!("{base}{}", query(&[("fieldSelector", &fields)]))).await?;
    let mut events: Vec<&Value> = list_at(&list, &["items"]).iter().collect();
    if events.is_empty() {
        w.line(0, "Events:\t<none>");
        return Ok(());
    }
    let last = |e: &Value| -> String {
        let series = str_at(e, &["series", "lastObservedTime"]);
        let legacy = str_at(e, &["lastTimestamp"]);
        let first = str_at(e, &["eventTime"]);
        [series, legacy, first].into_iter().find(|t| !t.is_empty()).unwrap_or("").to_owned()
    };
    events.order_by_key(|e| last(e));
    w.line(0, "Events:");
    w.line(1, "Type\tReason\tAge\tFrom\tMessage");
    w.line(1, "----\t------\t----\t----\t-------");
    for event in events {
        let first =
            [str_at(event, &["firstTimestamp"]), str_at(event, &["eventTime"])].into_iter().find(|t| !t.is_empty()).unwrap_or("");
        let count = i64_at(event, &["series", "count"]).or(i64_at(event, &["count"])).unwrap_or(0);
        let age = since(w.now, &last(event));
        let age = if count > 1 { format!("{age} (x{count} over {})", since(w.now, first)) } else { age };
        let from = match str_at(event, &["source", "component"]) {
            "" => str_at(event, &["reportingComponent"]),
            component => component,
        };
        let message = str_at(event, &["message"]).trim().replace('\n', "\n    ");
        w.line(1, format!("{}\t{}\t{age}\t{from}\t{message}", str_at(event, &["type"]), str_at(event, &["reason"])));
    }
    Ok(())
}

/// `Type Status Reason` of conditions.
fn conditions(w: &mut Writer, object: &Value) {
    let list = list_at(object, &["status", "conditions"]);
    if list.is_empty() {
        return;
    }
    w.line(0, "Conditions:");
    w.line(1, "Type\tStatus\tReason");
    w.line(1, "----\t------\t------");
    for c in list {
        w.line(1, format!("{} \t{}\t{}", str_at(c, &["type"]), str_at(c, &["status"]), str_at(c, &["reason"])));
    }
}

/// A value as text, `<none>` if it is not there.
fn shown(value: Option<&Value>) -> String {
    value.filter(|v| !v.is_null()).map_or("<none>".to_owned(), object::jsonpath::printed)
}

/// What stands at `path`, as text.
fn text_at(object: &Value, path: &[&str]) -> String {
    at(object, path).filter(|v| !v.is_null()).map(object::jsonpath::printed).unwrap_or_default()
}
