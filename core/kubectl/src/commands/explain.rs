//! `kubectl explain`: what the server's OpenAPI says of a kind and its fields.

use crate::flags::{Flag, Flags, Takes};
use crate::openapi::Schema;
use crate::{Failure, Kubectl, Result};

const FLAGS: &[Flag] = &[("recursive", '\0', Takes::Bool), ("api-version", '\0', Takes::Value), ("output", 'o', Takes::Value)];
const WIDTH: usize = 80;

pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("explain", words, &[FLAGS])?;
    let [word] = flags.args.as_slice() else {
        return Err(Failure::new(if flags.args.is_empty() {
            "You must specify the type of resource to explain. Use \"kubectl api-resources\" for a complete list of supported resources."
        } else {
            "We accept only this format: explain RESOURCE"
        }));
    };
    let mut parts = word.trim_end_matches('.').split('.');
    let resource = parts.next().unwrap_or("");
    // The longest beginning that names a resource: `deployments.apps.spec` and `deployments.spec` both work.
    let discovery = k.discover().await?;
    let mut path: Vec<&str> = parts.collect();
    let mut mapping = discovery.find(resource).cloned();
    for n in (1..=path.len()).rev() {
        let name = format!("{resource}.{}", path[..n].join("."));
        if let Some(found) = discovery.find(&name) {
            mapping = Some(found.clone());
            path.drain(..n);
            break;
        }
    }
    let mut mapping = mapping.ok_or_else(|| Failure::plain(format!("the server doesn't have a resource type {resource:?}")))?;
    if let Some(version) = flags.get("api-version") {
        let found = discovery.resources.iter().find(|m| m.kind == mapping.kind && m.api_version() == version);
        mapping = found
            .cloned()
            .ok_or_else(|| Failure::new(format!("couldn't find resource for \"{version}, Kind={}\"", mapping.kind)))?;
    }
    let document = k.openapi(&mapping).await?;
    let missing = || Failure::new(format!("couldn't find resource for \"{}, Kind={}\"", mapping.api_version(), mapping.kind));
    let document = document.ok_or_else(missing)?;
    let root = document.kind(&mapping).ok_or_else(missing)?;

    let mut out = String::new();
    if !mapping.group.is_empty() {
        out += &format!("GROUP:      {}\n", mapping.group);
    }
    out += &format!("KIND:       {}\nVERSION:    {}\n\n", mapping.kind, mapping.version);
    let mut here = root;
    let mut last = None;
    for step in &path {
        let inside = element(here);
        let next = inside.field(step).or_else(|| inside.values());
        let Some(next) = next else {
            k.print(&out);
            return Err(Failure::new(format!("field {step:?} does not exist")));
        };
        here = next;
        last = Some(*step);
    }
    let inner = element(here);
    if let Some(name) = last {
        out += &format!("FIELD: {name} <{}>\n", type_name(here));
        let values = values_of(here);
        out += if values.is_empty() { "\n" } else { &values };
        out.push('\n');
    }
    out += "DESCRIPTION:\n";
    let own = here.text("description");
    let below = inner.resolved().text("description");
    if !own.is_empty() {
        out += &wrapped(own, 4);
        if last.is_some() && !below.is_empty() && below != own {
            out += &wrapped(below, 4);
        }
    } else if !below.is_empty() {
        out += &wrapped(below, 4);
    } else {
        out += "    <empty>\n";
    }
    out += "    \n";
    if !inner.fields().is_empty() {
        out += "FIELDS:\n";
        fields(inner, 1, flags.on("recursive"), 0, &mut Vec::new(), &mut out);
    }
    out.push('\n');
    k.print(&out);
    Ok(())
}

/// What a list or map holds, however deep; the schema itself if it is neither.
fn element(schema: Schema<'_>) -> Schema<'_> {
    let mut here = schema;
    for _ in 0..4 {
        match here.items().or_else(|| if here.fields().is_empty() { here.values() } else { None }) {
            Some(inner) => here = inner,
            None => break,
        }
    }
    here
}

fn type_name(schema: Schema<'_>) -> String {
    let resolved = schema.resolved();
    if let Some(items) = schema.items() {
        return format!("[]{}", type_name(items));
    }
    if let (Some(values), true) = (schema.values(), schema.fields().is_empty()) {
        return format!("map[string]{}", type_name(values));
    }
    let reference = schema.reference();
    if !reference.is_empty()
        && (!resolved.fields().is_empty() || resolved.text("type").is_empty() || resolved.text("type") == "object")
    {
        return reference.to_owned();
    }
    match (resolved.text("type"), reference) {
        ("", "") => "Object".to_owned(),
        ("object", _) => "Object".to_owned(),
        (_, "IntOrString" | "Quantity" | "Time" | "MicroTime") if resolved.text("format") == "int-or-string" => {
            "IntOrString".to_owned()
        }
        (typ, _) => typ.to_owned(),
    }
}

/// The values a field may have.
fn values_of(schema: Schema<'_>) -> String {
    let resolved = schema.resolved();
    let list: Vec<String> = object::value::list_at(resolved.node, &["enum"]).iter().map(object::jsonpath::printed).collect();
    if list.is_empty() {
        String::new()
    } else {
        format!("ENUM:\n{}", list.iter().map(|v| format!("    {v}\n")).collect::<String>())
    }
}

fn fields(schema: Schema<'_>, level: usize, recursive: bool, depth: u32, open: &mut Vec<String>, out: &mut String) {
    let indent = "  ".repeat(level);
    let required = schema.required();
    for (name, field) in schema.fields() {
        let must = if required.iter().any(|r| r == name) { " -required-" } else { "" };
        *out += &format!("{indent}{name}\t<{}>{must}\n", type_name(field));
        let list: Vec<String> =
            object::value::list_at(field.resolved().node, &["enum"]).iter().map(object::jsonpath::printed).collect();
        if !list.is_empty() {
            let more = if list.len() > 4 { ", ...." } else { "" };
            *out += &format!("{indent}enum: {}{more}\n", list[..list.len().min(4)].join(", "));
        }
        if recursive {
            let inner = element(field);
            let reference = inner.reference().to_owned();
            // Types that contain themselves are opened once.
            if depth < 16 && (reference.is_empty() || !open.contains(&reference)) {
                open.push(reference);
                fields(inner, level + 1, recursive, depth + 1, open, out);
                open.pop();
            }
        } else {
            let text = field.text("description");
            let text = if text.is_empty() { "<no description>" } else { text };
            *out += &wrapped(text, 2 * level + 2);
            out.push('\n');
        }
    }
}

/// Paragraphs, broken at words.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let pad = " ".repeat(indent);
    for paragraph in text.split('\n') {
        let mut line = String::new();
        // Runs of blanks inside a line stay as they are.
        let mut blanks = 0;
        for word in paragraph.split(' ') {
            if word.is_empty() {
                blanks += 1;
                continue;
            }
            if !line.is_empty() && line.chars().count() + 1 + blanks + word.chars().count() > WIDTH - indent {
                out += &format!("{pad}{line}\n");
                line.clear();
            }
            if !line.is_empty() {
                line.extend(std::iter::repeat_n(' ', blanks + 1));
            }
            blanks = 0;
            line += word;
        }
        out += &format!("{pad}{line}\n");
    }
    out
}
