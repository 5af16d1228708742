//! `kubectl apply`: by the server, or here with the annotation of what was applied last.

use object::value::{at, object_at, str_at};
use object::{Value, json};

use super::diff::three_way;
use super::with_source;
use crate::api::{path, query};
use crate::discovery::Mapping;
use crate::flags::{FILES, Flag, Flags, PRINT, SELECT, Takes, WRITE};
use crate::print::objects::{Form, list_of};
use crate::{Failure, Kubectl, Result};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const FLAGS: &[Flag] = &[
    ("server-side", '\0', Takes::Bool),
    ("force-conflicts", '\0', Takes::Bool),
    ("force", '\0', Takes::Bool),
    ("wait", '\0', Takes::Bool),
    ("timeout", '\0', Takes::Value),
    ("grace-period", '\0', Takes::Value),
    ("cascade", '\0', Takes::Optional("background")),
    ("prune", '\0', Takes::Bool),
    ("subresource", '\0', Takes::Value),
    ("record", '\0', Takes::Bool),
    ("openapi-patch", '\0', Takes::Bool),
];

const CONFLICT_HELP: &str = "\
Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts";

pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    if words.first().is_some_and(|w| w == "view-last-applied") {
        return view_last_applied(k, &words[1..]).await;
    }
    let flags = Flags::parse("apply", words, &[FLAGS, FILES, PRINT, SELECT, WRITE])?;
    if let Some(argument) = flags.args.first() {
        return Err(Failure::new(format!("Unexpected args: [{argument}]\nSee 'kubectl apply -h' for help and examples")));
    }
    if flags.all("filename").is_empty() && flags.all("kustomize").is_empty() {
        return Err(Failure::new("must specify one of -f and -k"));
    }
    let form = Form::parse(&flags)?;
    let (mut applied, mut failures) = (Vec::new(), Vec::new());
    for manifest in k.manifests(&flags).await? {
        match one(k, &flags, manifest.object, &manifest.source).await {
            Ok((object, what)) => {
                if form.is_none() {
                    k.report(&flags, &object, what)?;
                }
                applied.push(object);
            }
            Err(failure) => failures.push(failure),
        }
    }
    if let Some(form) = form {
        match applied.as_slice() {
            [one] => k.show(&form, one, &flags)?,
            [] => {}
            _ => k.show(&form, &list_of(applied), &flags)?,
        }
    }
    k.say_missing(&failures)
}

async fn one(k: &Kubectl<'_>, flags: &Flags, mut object: Value, source: &str) -> Result<(Value, &'static str)> {
    let mapping = k.mapping_of(&object, source).await?;
    let namespace = k.place(flags, &mapping, &mut object)?;
    let name = str_at(&object, &["metadata", "name"]).to_owned();
    if name.is_empty() {
        return Err(Failure::new(format!(
            "error when retrieving current configuration of:\nfrom {source:?}: resource name may not be empty"
        )));
    }
    let dry = if flags.text("dry-run") == "server" { "All" } else { "" };
    if flags.on("server-side") {
        return server_side(k, flags, &mapping, &namespace, object, dry).await;
    }
    let manager = flags.get("field-manager").unwrap_or("kubectl-client-side-apply");
    let annotated = annotate(object);
    let target = path(&mapping, &namespace, &name);
    let options = query(&[("dryRun", dry), ("fieldManager", manager), ("fieldValidation", validation(flags))]);
    let Some(current) = k.find(&target).await? else {
        if flags.text("dry-run") == "client" {
            return Ok((annotated, "created"));
        }
        let created = k.post(&format!("{}{options}", path(&mapping, &namespace, "")), &annotated).await;
        return Ok((created.map_err(|e| with_source(e, "creating", source))?, "created"));
    };
    let last = object::meta::annotation(&current, LAST_APPLIED).and_then(|t| serde_json::from_str::<Value>(t).ok());
    if last.is_none() {
        k.error(&format!(
            "Warning: resource {}/{name} is missing the {LAST_APPLIED} annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.",
            mapping.resource
        ));
    }
    let document = k.openapi(&mapping).await?;
    let schema = document.as_ref().and_then(|d| d.kind(&mapping));
    let strategic = schema.is_some() && is_builtin(&mapping);
    let patch = three_way(&last.unwrap_or(Value::Null), &annotated, &current, schema.filter(|_| strategic));
    let Some(patch) = patch else { return Ok((current, "unchanged")) };
    if flags.text("dry-run") == "client" {
        return Ok((annotated, "configured"));
    }
    let kind = if strategic { "strategic-merge" } else { "merge" };
    let patched =
        k.patch(&format!("{target}{options}"), kind, &patch).await.map_err(|e| with_source(e, "applying patch", source))?;
    let unchanged = str_at(&patched, &["metadata", "resourceVersion"]) == str_at(&current, &["metadata", "resourceVersion"]);
    Ok((patched, if unchanged && dry.is_empty() { "unchanged" } else { "configured" }))
}

/// Only kinds that are compiled into the server can be patched strategically.
fn is_builtin(mapping: &Mapping) -> bool {
    !mapping.group.contains('.') || mapping.group.ends_with(".k8s.io")
}

/// `fieldValidation` of writes.
pub(crate) fn validation(flags: &Flags) -> &'static str {
    match flags.get("validate") {
        None | Some("true" | "strict") => "Strict",
        Some("warn") => "Warn",
        _ => "Ignore",
    }
}

fn annotate(mut object: Value) -> Value {
    object_at(&mut object, &["metadata", "annotations"]).remove(LAST_APPLIED);
    let text = format!("{object}\n");
    object_at(&mut object, &["metadata", "annotations"]).insert(LAST_APPLIED.to_owned(), text.into());
    object
}

async fn server_side(
    k: &Kubectl<'_>,
    flags: &Flags,
    mapping: &Mapping,
    namespace: &str,
    object: Value,
    dry: &str,
) -> Result<(Value, &'static str)> {
    let mut target = path(mapping, namespace, str_at(&object, &["metadata", "name"]));
    if let Some(subresource) = flags.get("subresource") {
        target += &format!("/{subresource}");
    }
    let manager = flags.get("field-manager").unwrap_or("kubectl");
    let force = if flags.on("force-conflicts") { "true" } else { "false" };
    target += &query(&[("dryRun", dry), ("fieldManager", manager), ("fieldValidation", validation(flags)), ("force", force)]);
    match k.patch(&target, "apply", &object).await {
        Ok(applied) => Ok((applied, "serverside-applied")),
        Err(failure) => match failure.message.strip_prefix("Error from server (Conflict): Apply failed") {
            Some(rest) => Err(Failure::new(format!("Apply failed{rest}\n{CONFLICT_HELP}"))),
            None => Err(failure),
        },
    }
}

async fn view_last_applied(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("apply view-last-applied", words, &[FILES, PRINT, SELECT])?;
    let (targets, missing) = k.targets(&flags, &flags.args).await?;
    for target in targets {
        let last = object::meta::annotation(&target.object, LAST_APPLIED).and_then(|t| serde_json::from_str::<Value>(t).ok());
        let Some(last) = last else {
            return Err(Failure::new(format!("no last-applied-configuration annotation found on resource: {}", target.name)));
        };
        match flags.text("output") {
            "json" => k.print(&crate::print::objects::json_text(&last)),
            _ => k.print(&object::yaml::to_string(&last)),
        }
    }
    k.say_missing(&missing)
}

impl Kubectl<'_> {
    /// Puts a manifest's object into the namespace of the command line, and gives that.
    pub(crate) fn place(&self, flags: &Flags, mapping: &Mapping, object: &mut Value) -> Result<String> {
        if !mapping.namespaced {
            return Ok(String::new());
        }
        let own = str_at(object, &["metadata", "namespace"]).to_owned();
        let wanted = self.namespace_of(flags);
        match flags.get("namespace") {
            Some(asked) if !own.is_empty() && own != asked => Err(Failure::new(format!(
                "the namespace from the provided object {own:?} does not match the namespace {asked:?}. You must pass '--namespace={own}' to perform this operation."
            ))),
            _ if !own.is_empty() => Ok(own),
            _ => {
                object::value::set(object, &["metadata", "namespace"], wanted.as_str());
                Ok(wanted)
            }
        }
    }
}

/// `kubectl replace`.
pub(crate) async fn replace(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("replace", words, &[FLAGS, FILES, PRINT, SELECT, WRITE])?;
    let mut failures = Vec::new();
    for manifest in k.manifests(&flags).await? {
        let mut object = manifest.object;
        let mapping = k.mapping_of(&object, &manifest.source).await?;
        let namespace = k.place(&flags, &mapping, &mut object)?;
        let target = path(&mapping, &namespace, str_at(&object, &["metadata", "name"]));
        let options = query(&[("fieldManager", "kubectl-replace"), ("fieldValidation", validation(&flags))]);
        match k.put(&format!("{target}{options}"), &object).await {
            Ok(replaced) => k.report(&flags, &replaced, "replaced")?,
            Err(failure) => failures.push(with_source(failure, "replacing", &manifest.source)),
        }
    }
    k.say_missing(&failures)
}

/// `kubectl diff`: the live objects against what an apply would make of them.
pub(crate) async fn diff(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let mut flags = Flags::parse("diff", words, &[FLAGS, FILES, SELECT, WRITE])?;
    flags.imply("dry-run", "server");
    let mut differs = false;
    for manifest in k.manifests(&flags).await? {
        let mut object = manifest.object;
        let mapping = k.mapping_of(&object, &manifest.source).await?;
        let namespace = k.place(&flags, &mapping, &mut object)?;
        let name = str_at(&object, &["metadata", "name"]).to_owned();
        let live = k.find(&path(&mapping, &namespace, &name)).await?;
        let (merged, _) = one(k, &flags, object, &manifest.source).await?;
        let text = |object: &Value| {
            let mut object = object.clone();
            object::value::remove(&mut object, &["metadata", "managedFields"]);
            object::value::remove(&mut object, &["metadata", "annotations", LAST_APPLIED]);
            if at(&object, &["metadata", "annotations"]).and_then(Value::as_object).is_some_and(|a| a.is_empty()) {
                object::value::remove(&mut object, &["metadata", "annotations"]);
            }
            object::yaml::to_string(&object)
        };
        let (before, after) = (live.as_ref().map(text).unwrap_or_default(), text(&merged));
        if before != after {
            differs = true;
            let group_version = mapping.api_version().replace('/', ".");
            let file = format!("{group_version}.{}.{namespace}.{name}", mapping.kind);
            k.print(&super::diff::unified(&file, &before, &after));
        }
    }
    if differs { Err(Failure::silent()) } else { Ok(()) }
}

/// `kubectl patch`.
pub(crate) async fn patch(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    const PATCH: &[Flag] = &[
        ("patch", 'p', Takes::Value),
        ("patch-file", '\0', Takes::Value),
        ("type", '\0', Takes::Value),
        ("subresource", '\0', Takes::Value),
    ];
    let flags = Flags::parse("patch", words, &[PATCH, FILES, PRINT, WRITE])?;
    let text = match (flags.get("patch"), flags.get("patch-file")) {
        (Some(text), _) => text.to_owned(),
        (None, Some(file)) => {
            let files = k.files.read(file, false).await.map_err(Failure::new)?;
            files.first().map(|(_, b)| String::from_utf8_lossy(b).into_owned()).unwrap_or_default()
        }
        (None, None) => return Err(Failure::new("must specify --patch or --patch-file containing the contents of the patch")),
    };
    let parsed = crate::manifest::parse(&text).map_err(|e| Failure::new(format!("unable to parse {text:?}: {e}")))?;
    let patch = parsed.into_iter().next().unwrap_or(json!({}));
    let kind = match flags.get("type").unwrap_or("strategic") {
        "strategic" => "strategic-merge",
        kind @ ("merge" | "json") => kind,
        other => return Err(Failure::new(format!("--type must be one of [json merge strategic], not {other:?}"))),
    };
    let (targets, missing) = k.targets(&flags, &flags.args).await?;
    for target in targets {
        let mut place = target.path();
        if let Some(subresource) = flags.get("subresource") {
            place += &format!("/{subresource}");
        }
        let dry = if flags.text("dry-run") == "server" { "All" } else { "" };
        let options = query(&[("dryRun", dry), ("fieldManager", flags.get("field-manager").unwrap_or("kubectl-patch"))]);
        let patched = k.patch(&format!("{place}{options}"), kind, &patch).await?;
        let what = if at(&patched, &["metadata", "resourceVersion"]) == at(&target.object, &["metadata", "resourceVersion"]) {
            "patched (no change)"
        } else {
            "patched"
        };
        k.report(&flags, &patched, what)?;
    }
    k.say_missing(&missing)
}
