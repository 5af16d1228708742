//! Lists: at a revision, filtered, in pages.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use object::selector::{FieldSelector, LabelSelector};
use object::value::str_at;
use object::{ApiError, Cause, Result, Value, json};
use std::sync::Arc;
use store::{Object, Snapshot};

use super::fields;
use super::query::{Query, invalid_options};
use crate::server::ApiServer;
use crate::write::Target;

/// What a list or a watch selects.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Namespace; `None` for all.
    pub namespace: Option<String>,
    /// Labels.
    pub labels: LabelSelector,
    /// Fields.
    pub fields: FieldSelector,
    /// Whether the objects are custom resources.
    pub custom: bool,
}

impl Filter {
    /// What the path and the query ask for. A name in the path is a field selector.
    pub fn of(target: &Target, query: &Query) -> Result<Self> {
        let mut selected = query.fields()?;
        fields::check(&target.resource, &selected)?;
        if !target.name.is_empty() {
            selected = selected.and("metadata.name", &target.name);
        }
        let namespace = (!target.namespace.is_empty()).then(|| target.namespace.clone());
        Ok(Filter { namespace, labels: query.labels()?, fields: selected, custom: target.resource.custom.is_some() })
    }

    /// Whether it selects this object.
    pub fn matches(&self, object: &Object) -> bool {
        self.matches_parsed(object, &mut None)
    }

    /// As [`Filter::matches`], for an object that others ask about too: `value` is what it says, once somebody had to know.
    pub fn matches_parsed(&self, object: &Object, value: &mut Option<Value>) -> bool {
        self.namespace.as_deref().is_none_or(|ns| ns == &*object.key.namespace)
            && (self.labels.is_empty() || self.labels.matches(&object.meta.labels))
            && fields::matches(&self.fields, self.custom, object, value)
    }
}

/// A page of a list.
pub struct Page {
    /// Its objects.
    pub items: Vec<Arc<Object>>,
    /// The revision of the whole list.
    pub revision: u64,
    /// Where the next page begins; empty after the last.
    pub next: String,
    /// How many objects come after this page, where that is known.
    pub remaining: Option<usize>,
}

/// Combinations of parameters that make no sense, all at once.
pub fn check_options(query: &Query, watch: bool) -> Result<()> {
    let (version, matching) = (query.get("resourceVersion"), query.get("resourceVersionMatch"));
    let initial = query.has("sendInitialEvents");
    let continued = !query.get("continue").is_empty();
    let mut causes = Vec::new();
    let mut forbid = |why: &str| causes.push(Cause::forbidden("resourceVersionMatch", why));
    if watch {
        if initial {
            if matching != "NotOlderThan" {
                forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
                if !matching.is_empty() {
                    causes.push(Cause::not_supported("resourceVersionMatch", &json!(matching), &["NotOlderThan"]));
                }
            }
        } else if !matching.is_empty() {
            forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
    } else {
        if !matching.is_empty() {
            if version.is_empty() {
                forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if continued {
                forbid("resourceVersionMatch is forbidden when continue is provided");
            }
            if !matches!(matching, "Exact" | "NotOlderThan") {
                causes.push(Cause::not_supported("resourceVersionMatch", &json!(matching), &["Exact", "NotOlderThan", ""]));
            } else if matching == "Exact" && version == "0" {
                causes.push(Cause::forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if initial {
            causes.push(Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(invalid_options("ListOptions", causes)) }
}

impl ApiServer {
    /// The page a query asks for.
    pub(crate) fn page(&self, target: &Target, query: &Query) -> Result<Page> {
        check_options(query, false)?;
        query.number("timeoutSeconds")?;
        let filter = Filter::of(target, query)?;
        let limit = query.number("limit")?.filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok());
        let token = query.get("continue");
        let version = query.get("resourceVersion");
        if !token.is_empty() && !matches!(version, "" | "0") {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        let (snapshot, after) = if token.is_empty() {
            (self.snapshot_for(version, query.get("resourceVersionMatch"))?, None)
        } else {
            let (revision, namespace, name) = read_continue(token)?;
            let snapshot = match revision {
                Some(revision) => self.store.at(revision).map_err(|_| expired_continue(&namespace, &name))?,
                None => self.store.snapshot(),
            };
            (snapshot, Some((namespace, name)))
        };
        Ok(page_of(target, &filter, &snapshot, after, limit))
    }

    fn snapshot_for(&self, version: &str, matching: &str) -> Result<Snapshot> {
        let now = self.store.revision();
        if version.is_empty() {
            return Ok(self.store.snapshot());
        }
        let revision: u64 = version.parse().map_err(|_| {
            let shown = Cause::invalid("resourceVersion", &json!(version), &go_parse_uint(version));
            ApiError::bad_request(format!("invalid resource version: {shown}"))
        })?;
        if revision > now {
            return Err(too_large(revision, now));
        }
        if matching != "Exact" {
            return Ok(self.store.snapshot());
        }
        self.store.at(revision).map_err(|c| {
            ApiError::expired(format!(
                "The provided continue parameter is too old to display a consistent list result: {}",
                c.oldest
            ))
        })
    }
}

/// Go's `strconv.ParseUint` error.
pub fn go_parse_uint(text: &str) -> String {
    format!("strconv.ParseUint: parsing {text:?}: invalid syntax")
}

/// 504: the revision lies in the future.
fn too_large(asked: u64, now: u64) -> Box<ApiError> {
    let mut error =
        ApiError::new(504, object::Reason::Timeout, format!("Timeout: Too large resource version: {asked}, current: {now}"));
    error.details.causes.push(Cause {
        reason: object::CauseType::ResourceVersionTooLarge,
        field: String::new(),
        message: "Too large resource version".to_owned(),
    });
    error.details.retry_after_seconds = 1;
    error
}

fn page_of(target: &Target, filter: &Filter, snapshot: &Snapshot, after: Option<(String, String)>, limit: Option<usize>) -> Page {
    let after = after.as_ref().map(|(ns, name)| (ns.as_str(), name.as_str()));
    let mut all =
        snapshot.list_after(&target.resource.storage.resource, filter.namespace.as_deref(), after).filter(|o| filter.matches(o));
    let items: Vec<Arc<Object>> = match limit {
        Some(limit) => all.by_ref().take(limit).cloned().collect(),
        None => all.by_ref().cloned().collect(),
    };
    let revision = snapshot.revision();
    let rest = all.count();
    let (next, remaining) = match items.last() {
        Some(last) if rest > 0 => {
            // Kubernetes counts what is left only where no selector is involved.
            let countable = filter.labels.is_empty() && filter.fields.is_empty();
            (
                write_continue(i64::try_from(revision).unwrap_or(INCONSISTENT), &last.key.namespace, &last.key.name),
                countable.then_some(rest),
            )
        }
        _ => (String::new(), None),
    };
    Page { items, revision, next, remaining }
}

/// The version of a token whose list goes on with whatever there is now.
const INCONSISTENT: i64 = -1;

fn write_continue(revision: i64, namespace: &str, name: &str) -> String {
    let start = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start + "\0"}).to_string())
}

/// Base64 as Go decodes it, which does not mind bits left over at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// Version, namespace and name; no version for the present one.
fn read_continue(token: &str) -> Result<(Option<u64>, String, String)> {
    let invalid = |why: &str| ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = LENIENT.decode(token.trim_end_matches('=')).map_err(|e| invalid(&e.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| {
        let found = char::from(bytes.first().copied().unwrap_or_default());
        let shown = if found.is_ascii_graphic() { format!("'{found}'") } else { format!("'\\u{:04x}'", u32::from(found)) };
        invalid(&format!("invalid character {shown} looking for beginning of value"))
    })?;
    if str_at(&value, &["v"]) != "meta.k8s.io/v1" {
        return Err(invalid(&format!("server does not recognize this encoded version {:?}", str_at(&value, &["v"]))));
    }
    let revision = value.get("rv").and_then(Value::as_i64).filter(|rv| *rv > 0 || *rv == INCONSISTENT);
    let revision = revision.ok_or_else(|| invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)"))?;
    let revision = u64::try_from(revision).ok();
    let start = str_at(&value, &["start"]).trim_end_matches('\0');
    if start.is_empty() {
        return Err(invalid("encoded start key empty (version meta.k8s.io/v1)"));
    }
    let (namespace, name) = start.split_once('/').unwrap_or(("", start));
    Ok((revision, namespace.to_owned(), name.to_owned()))
}

/// 410 for a page token whose revision is gone; it offers to go on at the current one, with what that may miss.
fn expired_continue(namespace: &str, name: &str) -> Box<ApiError> {
    let mut error = ApiError::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
         the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
         Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
         deleted between the time the first chunk was returned and now may show up in the list.",
    );
    error.details.continue_token = write_continue(INCONSISTENT, namespace, name);
    error
}
