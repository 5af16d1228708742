//! Server-side apply and the bookkeeping of field ownership (`metadata.managedFields`).
//!
//! Every write passes here once: [`update`] after create, update and the patches that are not applies; [`apply`] for apply
//! patches. Both are called with the object as the client wants it, defaulted, and *before* admission and the resource's
//! own strategy change it, because what those set belongs to nobody.
//!
//! Models `sigs.k8s.io/structured-merge-diff` and `k8s.io/apimachinery/pkg/util/managedfields`. Sets of fields are kept in the
//! form they have on the wire (see [`set`]), so that nothing is converted. Objects of one resource share one set of field
//! paths here, whatever version a manager wrote in.

mod compare;
mod element;
mod fields;
mod managed;
mod merge;
mod mutate;
pub mod set;

use object::order::Order as _;
use object::{ApiError, Cause, CauseType, GroupVersionKind, Reason, Result, Time, Value};

use crate::types::Type;
use compare::{Old, compare};
use managed::{Entry, Managed};
use set::Set;

pub use element::display_path;
pub use mutate::mutate;

/// Who writes what, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// `fieldManager` of the request, or what comes before the first slash of its user agent.
    pub manager: &'a str,
    /// Subresource that is written through, empty for the object itself.
    pub subresource: &'a str,
    /// Kind of the object, in the version of the request.
    pub kind: &'a GroupVersionKind,
    /// Type of that kind.
    pub ty: Type<'a>,
    /// Fields that this endpoint puts back to their old values, and that nobody can own through it: see [`reset_fields`].
    pub reset: &'a [&'a str],
    /// Now.
    pub now: Time,
}

/// What kinds with a status subresource put back: the object's endpoint the status, the status' endpoint the spec.
pub fn reset_fields(has_status: bool, subresource: &str) -> &'static [&'static str] {
    match subresource {
        "status" => &["spec"],
        _ if has_status => &["status"],
        _ => &[],
    }
}

/// Records in `new`'s managedFields what the writer changed from `live` (`None`: the object is being created).
///
/// `new` carries managedFields as the client sent them: none or an empty list means those of `live`, a list of one empty
/// entry resets them.
pub fn update(live: Option<&Value>, new: &mut Value, writer: &Writer<'_>) {
    let sent = take_managed(new);
    let mut managed = match managed::sent(sent) {
        managed::Sent::Reset => Managed::default(),
        managed::Sent::Own(managed) => managed,
        managed::Sent::Live => live.map(managed::of).unwrap_or_default(),
    };
    // An object that nobody tracks stays untracked until it is first applied.
    if !(managed.is_empty() && live.is_some()) {
        record_update(live.map_or(Old::Zero, Old::Value), new, &mut managed, writer, writer.manager);
        managed.cap();
    }
    put_managed(new, managed);
}

fn record_update(live: Old<'_>, new: &Value, managed: &mut Managed, writer: &Writer<'_>, manager: &str) {
    let mut change = compare(live, new, writer.ty);
    for field in writer.reset {
        change.changed.remove(&format!("f:{field}"));
        change.removed.remove(&format!("f:{field}"));
    }
    for entry in managed.entries.iter_mut() {
        set::subtract(&mut entry.fields, &change.changed);
        set::subtract(&mut entry.fields, &change.removed);
    }
    if !change.changed.is_empty() {
        let identity = Entry::identity(manager, "Update", &writer.kind.api_version(), writer.subresource);
        let entry = managed.entry(identity);
        set::unite(&mut entry.fields, change.changed);
        entry.time = Some(writer.now.rfc3339());
    }
    managed.drop_empty();
}

/// What an apply came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The merged object with its managedFields, not yet defaulted.
    pub object: Value,
    /// Whether anything but managedFields differs from the live object.
    pub changed: bool,
}

/// Merges an apply configuration into `live` (`None`: there is no such object yet).
///
/// # Errors
/// 400 for another kind or a patch with managedFields; 500 for a patch that the type does not take; 409 with one cause for
/// each field that another manager owns with another value, unless `force`.
pub fn apply(live: Option<&Value>, mut patch: Value, writer: &Writer<'_>, force: bool) -> Result<Applied> {
    check_patch(&patch, writer)?;
    let typed = |error: fields::Errors| {
        let (namespace, name) =
            (object::value::str_at(&patch, &["metadata", "namespace"]), object::value::str_at(&patch, &["metadata", "name"]));
        let message = format!("failed to create typed patch object ({namespace}/{name}; {}): {error}", writer.kind);
        ApiError::new(500, Reason::Unknown, message)
    };
    let mut wanted = fields::checked_set(&patch, writer.ty).map_err(typed)?;
    for field in writer.reset {
        wanted.remove(&format!("f:{field}"));
    }
    if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let mut managed = live.map(managed::of).unwrap_or_default();
    if let (true, Some(live)) = (managed.is_empty(), live) {
        record_update(Old::Zero, live, &mut managed, writer, "before-first-apply");
    }

    let last_applied = live.filter(|_| writer.manager == KUBECTL).and_then(|live| object::meta::annotation(live, LAST_APPLIED));
    let next_applied = last_applied.map(|_| format!("{patch}\n"));
    let identity = Entry::identity(writer.manager, "Apply", &writer.kind.api_version(), writer.subresource);
    let last = managed.take(&identity);
    let mut object = match live {
        None => patch,
        Some(live) => {
            let mut object = live.clone();
            take_managed(&mut object);
            merge::merge(&mut object, patch, writer.ty);
            object
        }
    };
    if let Some(last) = &last {
        let mut owned = wanted.clone();
        for entry in &managed.entries {
            set::unite(&mut owned, entry.fields.clone());
        }
        merge::prune(&mut object, &last.fields, &owned, writer.ty);
    }

    let mut change = compare(live.map_or(Old::Zero, Old::Value), &object, writer.ty);
    for field in writer.reset {
        change.changed.remove(&format!("f:{field}"));
        change.removed.remove(&format!("f:{field}"));
    }
    if !force {
        let mut disputed = change.changed.clone();
        if let (Some(text), Some(live)) = (last_applied, live) {
            set::subtract(&mut disputed, &owned_by_client_side_apply(text, live, writer));
        }
        refuse_conflicts(&managed, &disputed)?;
    }
    for entry in managed.entries.iter_mut() {
        set::subtract(&mut entry.fields, &change.changed);
        set::subtract(&mut entry.fields, &change.removed);
    }
    let changed = live.is_none() || !(change.changed.is_empty() && change.removed.is_empty());
    managed::strip(&mut wanted);
    let time = if changed { Some(writer.now.rfc3339()) } else { last.and_then(|l| l.time) };
    managed.entries.push(Entry { fields: wanted, time, ..identity });
    managed.drop_empty();
    put_managed(&mut object, managed);
    if let Some(text) = next_applied {
        object::value::set(&mut object, &["metadata", "annotations", LAST_APPLIED], text);
    }
    Ok(Applied { object, changed })
}

/// The manager that moves from client-side to server-side apply: it may take over what it applied before.
const KUBECTL: &str = "kubectl";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The fields that were last applied by the client and still have the values they got then.
fn owned_by_client_side_apply(text: &str, live: &Value, writer: &Writer<'_>) -> Set {
    let Ok(last) = serde_json::from_str::<Value>(text) else { return Set::new() };
    if object::value::str_at(&last, &["apiVersion"]) != writer.kind.api_version() {
        return Set::new();
    }
    let Ok(mut set) = fields::checked_set(&last, writer.ty) else { return Set::new() };
    let change = compare(Old::Value(&last), live, writer.ty);
    set::subtract(&mut set, &change.changed);
    set::subtract(&mut set, &change.removed);
    set
}

fn check_patch(patch: &Value, writer: &Writer<'_>) -> Result<()> {
    let api_version = object::value::str_at(patch, &["apiVersion"]);
    let kind = object::value::str_at(patch, &["kind"]);
    if api_version != writer.kind.api_version() || kind != &*writer.kind.kind {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        return Err(ApiError::bad_request(format!("invalid object type: {}", GroupVersionKind::new(group, version, kind))));
    }
    if object::value::at(patch, &["metadata", "managedFields"]).is_some_and(|m| !m.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

fn refuse_conflicts(managed: &Managed, changed: &Set) -> Result<()> {
    let mut conflicts: Vec<(String, Vec<String>)> = Vec::new();
    for entry in &managed.entries {
        let mut paths = Vec::new();
        set::common(&entry.fields, changed, &mut Vec::new(), &mut paths);
        if !paths.is_empty() {
            conflicts.push((entry.shown(), paths));
        }
    }
    conflicts.order();
    let count: usize = conflicts.iter().map(|(_, paths)| paths.len()).sum();
    let message = match conflicts.as_slice() {
        [] => return Ok(()),
        [(manager, paths)] if count == 1 => format!("Apply failed with 1 conflict: conflict with {manager}: {}", paths.concat()),
        many => {
            let block = |(manager, paths): &(String, Vec<String>)| format!("conflicts with {manager}:\n- {}", paths.join("\n- "));
            let blocks: Vec<String> = many.iter().map(block).collect();
            format!("Apply failed with {count} conflicts: {}", blocks.join("\n"))
        }
    };
    let mut error = ApiError::new(409, Reason::Conflict, message);
    for (manager, paths) in conflicts {
        let cause = |field| Cause { reason: CauseType::FieldManagerConflict, field, message: format!("conflict with {manager}") };
        error.details.causes.extend(paths.into_iter().map(cause));
    }
    Err(error)
}

fn take_managed(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

fn put_managed(object: &mut Value, managed: Managed) {
    if !managed.is_empty() {
        object::value::set(object, &["metadata", "managedFields"], managed.encode());
    }
}

#[cfg(test)]
mod tests;
