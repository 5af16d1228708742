//! `kubectl get`: tables made by the server, or whole objects; once or watching.

use object::order::Order as _;
use object::value::{at, list_at, str_at};
use object::{JsonPath, Value};

use super::select::Selection;
use crate::api::{TABLE, failure_of, path, query};
use crate::flags::{FILES, Flag, Flags, PRINT, SELECT, Takes};
use crate::print::columns::{self, align};
use crate::print::objects::{Form, list_of};
use crate::{Failure, Kubectl, Result};

const FLAGS: &[Flag] = &[
    ("watch", 'w', Takes::Bool),
    ("watch-only", '\0', Takes::Bool),
    ("output-watch-events", '\0', Takes::Bool),
    ("show-labels", '\0', Takes::Bool),
    ("label-columns", 'L', Takes::Value),
    ("no-headers", '\0', Takes::Bool),
    ("show-kind", '\0', Takes::Bool),
    ("ignore-not-found", '\0', Takes::Bool),
    ("sort-by", '\0', Takes::Value),
    ("chunk-size", '\0', Takes::Value),
    ("server-print", '\0', Takes::Bool),
    ("subresource", '\0', Takes::Value),
    ("raw", '\0', Takes::Value),
];

pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("get", words, &[FLAGS, FILES, PRINT, SELECT])?;
    if let Some(raw) = flags.get("raw") {
        let bytes = k.bytes("GET", raw, "application/json, */*", None).await?;
        k.print(&String::from_utf8_lossy(&bytes));
        return Ok(());
    }
    let form = Form::parse(&flags)?;
    let selections = match flags.all("filename") {
        [] if flags.args.is_empty() => {
            return Err(Failure::plain(
                "You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.\n\nerror: Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of that resource (e.g. kubectl explain pods).\nSee 'kubectl get -h' for help and examples",
            ));
        }
        [] => k.selections(&flags.args).await?,
        _ => from_files(k, &flags).await?,
    };
    if flags.on("watch") || flags.on("watch-only") {
        return match selections.as_slice() {
            [one] if one.names.len() <= 1 => watch(k, &flags, one, form).await,
            _ => Err(Failure::new("you may only specify a single resource type")),
        };
    }
    match form {
        Some(form) => objects(k, &flags, &selections, &form).await,
        None => tables(k, &flags, &selections).await,
    }
}

async fn from_files(k: &Kubectl<'_>, flags: &Flags) -> Result<Vec<Selection>> {
    let mut out = Vec::new();
    for manifest in k.manifests(flags).await? {
        let mapping = k.mapping_of(&manifest.object, &manifest.source).await?;
        out.push(Selection { mapping, names: vec![str_at(&manifest.object, &["metadata", "name"]).to_owned()] });
    }
    Ok(out)
}

fn target_of(k: &Kubectl<'_>, flags: &Flags, selection: &Selection, name: &str, more: &[(&str, &str)]) -> String {
    let mut target = path(&selection.mapping, &k.namespace_of(flags), name);
    if let (Some(subresource), false) = (flags.get("subresource"), name.is_empty()) {
        target += &format!("/{subresource}");
    }
    let mut parts = Vec::new();
    if name.is_empty() {
        parts.push(("fieldSelector", flags.text("field-selector")));
        parts.push(("labelSelector", flags.text("selector")));
    }
    parts.extend_from_slice(more);
    target + &query(&parts)
}

/// Whether a missing object is to be passed over, said, or is the end.
fn forgive(k: &Kubectl<'_>, flags: &Flags, failure: Failure, failed: &mut bool) -> Result<()> {
    if !failure.not_found {
        return Err(failure);
    }
    if !flags.on("ignore-not-found") {
        k.error(&failure.message);
        *failed = true;
    }
    Ok(())
}

async fn objects(k: &Kubectl<'_>, flags: &Flags, selections: &[Selection], form: &Form) -> Result<()> {
    let (mut found, mut failed) = (Vec::new(), false);
    let single = matches!(selections, [one] if one.names.len() == 1);
    for selection in selections {
        if selection.names.is_empty() {
            let list = k.get(&target_of(k, flags, selection, "", &[])).await?;
            for item in list_at(&list, &["items"]) {
                let mut item = item.clone();
                if let Some(map) = item.as_object_mut() {
                    map.entry("apiVersion").or_insert_with(|| selection.mapping.api_version().into());
                    map.entry("kind").or_insert_with(|| selection.mapping.kind.as_str().into());
                }
                found.push(item);
            }
        }
        for name in &selection.names {
            match k.get(&target_of(k, flags, selection, name, &[])).await {
                Ok(object) => found.push(object),
                Err(failure) => forgive(k, flags, failure, &mut failed)?,
            }
        }
    }
    if let Some(key) = flags.get("sort-by") {
        sort(&mut found, key, |v| v)?;
    }
    if single {
        if let Some(object) = found.first() {
            k.show(form, object, flags)?;
        }
    } else if !failed || !found.is_empty() {
        k.show(form, &list_of(found), flags)?;
    }
    if failed { Err(Failure::silent()) } else { Ok(()) }
}

fn sort(items: &mut [Value], key: &str, object: impl Fn(&Value) -> &Value) -> Result<()> {
    let path = JsonPath::parse_relaxed(key).map_err(Failure::new)?;
    items.order_by_key(|item| {
        let value = path.first(object(item)).map(|v| v.into_owned());
        match value {
            Some(Value::Number(n)) => (n.as_i64().unwrap_or(0), String::new()),
            Some(value) => (0, object::jsonpath::printed(&value)),
            None => (i64::MIN, String::new()),
        }
    });
    Ok(())
}

/// Rows of a table as text, with kubectl's additions.
struct Printer {
    wide: bool,
    headers: bool,
    namespaces: bool,
    kind: Option<String>,
    labels: Vec<String>,
    all_labels: bool,
    widths: Vec<usize>,
    /// Which cells of a row are shown; known from the first table, since later ones may leave the columns out.
    shown: Vec<usize>,
}

impl Printer {
    fn new(flags: &Flags, selection: &Selection, kind: bool) -> Self {
        Printer {
            wide: flags.text("output") == "wide",
            headers: !flags.on("no-headers"),
            namespaces: flags.on("all-namespaces") && selection.mapping.namespaced,
            kind: (kind || flags.on("show-kind")).then(|| selection.mapping.singular_with_group()),
            labels: flags.list("label-columns"),
            all_labels: flags.on("show-labels"),
            widths: Vec::new(),
            shown: Vec::new(),
        }
    }

    fn print(&mut self, k: &Kubectl<'_>, table: &Value) {
        let definitions = list_at(table, &["columnDefinitions"]);
        if self.shown.is_empty() {
            let visible = |c: &Value| self.wide || at(c, &["priority"]).and_then(Value::as_i64).unwrap_or(0) == 0;
            self.shown = definitions.iter().enumerate().filter(|(_, c)| visible(c)).map(|(i, _)| i).collect();
        }
        let mut rows = Vec::new();
        if self.headers {
            self.headers = false;
            let mut row = Vec::new();
            if self.namespaces {
                row.push("NAMESPACE".to_owned());
            }
            let heads = self.shown.iter().filter_map(|i| definitions.get(*i));
            row.extend(heads.map(|c| str_at(c, &["name"]).to_uppercase()));
            let label_head = |l: &String| l.rsplit('/').next().unwrap_or(l).to_uppercase();
            row.extend(self.labels.iter().map(label_head));
            if self.all_labels {
                row.push("LABELS".to_owned());
            }
            rows.push(row);
        }
        rows.extend(list_at(table, &["rows"]).iter().map(|row| self.row(row)));
        k.print(&align(&rows, columns::TABLE, &mut self.widths));
    }

    fn row(&self, row: &Value) -> Vec<String> {
        let cells = list_at(row, &["cells"]);
        let mut out = Vec::new();
        if self.namespaces {
            out.push(str_at(row, &["object", "metadata", "namespace"]).to_owned());
        }
        for (n, i) in self.shown.iter().enumerate() {
            let cell = match cells.get(*i) {
                None | Some(Value::Null) => "<none>".to_owned(),
                Some(cell) => object::jsonpath::printed(cell),
            };
            let cell = match cell.split_once('\n') {
                Some((first, _)) => format!("{first}..."),
                None => cell,
            };
            out.push(match &self.kind {
                Some(kind) if n == 0 => format!("{kind}/{cell}"),
                _ => cell,
            });
        }
        let labels = object::meta::string_map(at(row, &["object", "metadata", "labels"]));
        out.extend(self.labels.iter().map(|l| labels.get(l).cloned().unwrap_or_else(|| "<none>".to_owned())));
        if self.all_labels {
            let list: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            out.push(if list.is_empty() { "<none>".to_owned() } else { list.join(",") });
        }
        out
    }
}

async fn tables(k: &Kubectl<'_>, flags: &Flags, selections: &[Selection]) -> Result<()> {
    let (mut failed, mut any) = (false, false);
    let several = selections.len() > 1;
    let include: &[(&str, &str)] = if flags.get("sort-by").is_some() { &[("includeObject", "Object")] } else { &[] };
    let mut found: Vec<(&Selection, Value)> = Vec::new();
    for selection in selections {
        let names: Vec<&str> =
            if selection.names.is_empty() { vec![""] } else { selection.names.iter().map(String::as_str).collect() };
        // Rows of objects asked for by name stand in one table.
        let mut whole: Option<Value> = None;
        for name in names {
            match k.json("GET", &target_of(k, flags, selection, name, include), TABLE, None).await {
                Ok(table) => match &mut whole {
                    None => whole = Some(table),
                    Some(first) => {
                        let more = list_at(&table, &["rows"]).to_vec();
                        if let Some(rows) = first.get_mut("rows").and_then(Value::as_array_mut) {
                            rows.extend(more);
                        }
                    }
                },
                Err(failure) if name.is_empty() && several && failure.message.contains("(MethodNotAllowed)") => {}
                Err(failure) => {
                    any = true;
                    forgive(k, flags, failure, &mut failed)?;
                }
            }
        }
        let Some(mut table) = whole else { continue };
        if let (Some(key), Some(rows)) = (flags.get("sort-by"), table.get_mut("rows").and_then(Value::as_array_mut)) {
            sort(rows, key, |row| row.get("object").unwrap_or(row))?;
        }
        if !list_at(&table, &["rows"]).is_empty() {
            found.push((selection, table));
        }
    }
    // Kinds are shown where there is more than one, or was meant to be.
    let by_name = selections.iter().any(|s| !s.names.is_empty());
    let kinds = if by_name { found.len() > 1 } else { several };
    for (i, (selection, table)) in found.iter().enumerate() {
        if i > 0 {
            k.print("\n");
        }
        Printer::new(flags, selection, kinds).print(k, table);
    }
    if found.is_empty() && !any && !flags.on("ignore-not-found") {
        let namespace = k.namespace_of(flags);
        let namespaced = selections.iter().any(|s| s.mapping.namespaced);
        k.error(&match namespaced && !namespace.is_empty() {
            true => format!("No resources found in {namespace} namespace."),
            false => "No resources found".to_owned(),
        });
    }
    if failed { Err(Failure::silent()) } else { Ok(()) }
}

async fn watch(k: &Kubectl<'_>, flags: &Flags, selection: &Selection, form: Option<Form>) -> Result<()> {
    let accept = if form.is_some() { "application/json" } else { TABLE };
    let name = selection.names.first().map_or("", String::as_str);
    let mut printer = Printer::new(flags, selection, false);
    let first = k.json("GET", &target_of(k, flags, selection, name, &[]), accept, None).await?;
    if !flags.on("watch-only") {
        match &form {
            Some(form) => {
                let items = if name.is_empty() { list_at(&first, &["items"]) } else { std::slice::from_ref(&first) };
                items.iter().try_for_each(|item| k.show(form, item, flags))?;
            }
            None if list_at(&first, &["rows"]).is_empty() => {}
            None => printer.print(k, &first),
        }
    }
    let revision = str_at(&first, &["metadata", "resourceVersion"]).to_owned();
    let by_name = if name.is_empty() { String::new() } else { format!("metadata.name={name}") };
    let fields = [flags.text("field-selector"), &by_name].into_iter().filter(|f| !f.is_empty()).collect::<Vec<_>>().join(",");
    let target = path(&selection.mapping, &k.namespace_of(flags), "")
        + &query(&[
            ("watch", "true"),
            ("resourceVersion", &revision),
            ("labelSelector", flags.text("selector")),
            ("fieldSelector", &fields),
        ]);
    let mut stream = k.open("GET", &target, accept, None).await?;
    let mut rest: Vec<u8> = Vec::new();
    while let Some(piece) = stream.body.next().await.map_err(Failure::new)? {
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
            let object = event.get("object").unwrap_or(&Value::Null);
            match (str_at(&event, &["type"]), &form) {
                ("ERROR", _) => return Err(failure_of(object)),
                ("BOOKMARK", _) => {}
                (_, Some(form)) => k.show(form, object, flags)?,
                (_, None) => printer.print(k, object),
            }
        }
    }
    Ok(())
}
