//! Request bodies: which format, which kind, and what is in them.

use object::gvk::GroupVersionKind;
use object::{ApiError, GroupVersion, Reason, Result, Value};
use schema::decode::{self, DecodeError, Decoded};
use schema::{Registry, Resource, protobuf};

use crate::identity::header;
use crate::message::Request;
use crate::write::FieldValidation;

/// A decoded body and the warnings that go with it.
pub struct Body {
    /// The object.
    pub object: Value,
    /// For `Warning` headers.
    pub warnings: Vec<String>,
}

/// Reads an object of `resource`'s kind.
pub fn object(request: &Request, resource: &Resource, validation: FieldValidation) -> Result<Body> {
    let (json, repeated) = json_bytes(request, resource)?;
    let said = header_of(&json, &resource.kind.kind, &request.body)?;
    check_kind(&said, resource)?;
    let mut decoded = decode::resource_from_slice(resource, &json).map_err(|e| undecodable(e, resource))?;
    match repeated {
        // A strict request is told of YAML's own trouble in the words of the YAML library.
        Some(repeated) if validation == FieldValidation::Strict => {
            decoded.strict.insert(0, format!("yaml: unmarshal errors:\n  {repeated}"));
        }
        Some(repeated) => decoded.strict.insert(0, repeated),
        None => {}
    }
    checked(decoded, resource, validation)
}

/// Applies `fieldValidation` to what strict decoding found.
pub fn checked(decoded: Decoded, resource: &Resource, validation: FieldValidation) -> Result<Body> {
    let Decoded { object, strict } = decoded;
    match validation {
        FieldValidation::Strict if !strict.is_empty() => {
            let kind = &resource.kind;
            let message = format!(
                "{} in version {:?} cannot be handled as a {}: {}",
                kind.kind,
                &*kind.version,
                kind.kind,
                decode::strict_error(&strict)
            );
            Err(ApiError::bad_request(message))
        }
        FieldValidation::Warn => Ok(Body { object, warnings: strict }),
        _ => Ok(Body { object, warnings: Vec::new() }),
    }
}

/// What Go's typed clients send.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Reads a body of a kind that is not checked here (DeleteOptions, Scale), in any format.
pub fn of_kind(request: &Request, kind: &GroupVersionKind, registry: &Registry) -> Result<Value> {
    match registry.kind_type(kind) {
        Some(ty) if media_type(request) == PROTOBUF => {
            protobuf::to_json(&request.body, ty).map_err(|e| ApiError::bad_request(e.to_string()))
        }
        _ => untyped(request),
    }
}

/// Reads any JSON or YAML body, for patches and options, without a type.
pub fn untyped(request: &Request) -> Result<Value> {
    if is_yaml(request) {
        let (value, _) = yaml(&request.body)
            .map_err(|why| ApiError::bad_request(format!("error decoding YAML: error converting YAML to JSON: {why}")))?;
        return Ok(value);
    }
    serde_json::from_slice(&request.body)
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {}", object::syntax::go_json(&e, &request.body))))
}

/// The body as JSON, and what YAML of it was said twice.
fn json_bytes(request: &Request, resource: &Resource) -> Result<(Vec<u8>, Option<String>)> {
    match media_type(request) {
        "" | "application/json" => Ok((request.body.to_vec(), None)),
        "application/yaml" => {
            let (value, repeated) = yaml(&request.body).map_err(|why| unrecognized(&resource.kind.kind, &why, &request.body))?;
            Ok((value.to_string().into_bytes(), repeated))
        }
        PROTOBUF if resource.custom.is_none() => {
            let object = protobuf::to_json(&request.body, resource.ty()).map_err(|e| ApiError::bad_request(e.to_string()))?;
            Ok((object.to_string().into_bytes(), None))
        }
        _ => Err(ApiError::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// `Content-Type` without its parameters.
pub fn media_type(request: &Request) -> &str {
    header(request, "content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

pub(super) fn is_yaml(request: &Request) -> bool {
    matches!(media_type(request), "application/yaml" | "application/apply-patch+yaml")
}

/// Reads the first document of YAML, or says in the words of Go's library why not. Of a key that stands twice in a map the
/// last one counts, and the first such key is reported.
pub(super) fn yaml(bytes: &[u8]) -> std::result::Result<(Value, Option<String>), String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "yaml: invalid leading UTF-8 octet".to_owned())?;
    match serde_saphyr::from_str(text) {
        Ok(value) => Ok((value, None)),
        Err(first) if first.to_string().contains("multiple YAML documents") => yaml(first_document(text).as_bytes()),
        Err(first) => {
            let Some(repeated) = repeated_key(&first) else { return Err(go_yaml(&first, text)) };
            let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins };
            let read = serde_saphyr::from_str_with_options(text, options);
            read.map(|value| (value, Some(repeated))).map_err(|why| go_yaml(&why, text))
        }
    }
}

/// What stands before the second document's mark.
fn first_document(text: &str) -> &str {
    let is_mark = |line: &str| line.trim_end() == "---" || line.starts_with("--- ") || line.trim_end() == "...";
    let mut at = 0;
    let mut said = false;
    for line in text.split_inclusive('\n') {
        if is_mark(line) && said {
            return text.get(..at).unwrap_or_default();
        }
        said |= !is_mark(line) && !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with('%');
        at += line.len();
    }
    // Whoever finds a second document finds its mark; should the two disagree there is nothing to read.
    ""
}

/// A YAML syntax error in the words of Go's library.
fn go_yaml(error: &serde_saphyr::Error, text: &str) -> String {
    let told = error.to_string();
    let line = error.location().map_or(1, |location| location.line());
    let last = text.lines().count().max(1) as u64;
    let (line, what) = if told.contains("unclosed bracket '['") {
        (last, "did not find expected ',' or ']'")
    } else if told.contains("unclosed bracket '{'") {
        (last, "did not find expected ',' or '}'")
    } else if told.contains("mapping values are not allowed") {
        (line, "mapping values are not allowed in this context")
    } else if told.contains("tab") {
        (line, "found character that cannot start any token")
    } else if told.contains("quoted scalar") || told.contains("unexpected end of stream") {
        (line, "found unexpected end of stream")
    } else if told.contains("block mapping") {
        (line, "did not find expected key")
    } else {
        let first = told.lines().next().unwrap_or_default();
        return format!("yaml: line {line}: {}", first.split_once(": ").map_or(first, |(_, what)| what));
    };
    format!("yaml: line {line}: {what}")
}

/// A duplicate key in the words of Go's YAML library.
fn repeated_key(error: &serde_saphyr::Error) -> Option<String> {
    use serde_saphyr::Error;
    let error = match error {
        Error::WithSnippet { error, .. } => error,
        other => other,
    };
    match error {
        Error::DuplicateMappingKey { key, location } => {
            Some(format!("line {}: key {:?} already set in map", location.line(), key.as_deref().unwrap_or_default()))
        }
        _ => None,
    }
}

/// How much of a body that is not understood is quoted.
const SHOWN: usize = 30;

/// 400 for a body of which not even the kind can be told; `raw` is as it was sent.
fn unrecognized(wanted: &str, why: &str, raw: &[u8]) -> Box<ApiError> {
    let shown = shown_body(raw);
    ApiError::bad_request(format!("the object provided is unrecognized (must be of type {wanted}): {why} ({shown})"))
}

/// `apiVersion` and `kind` of a body, both possibly empty.
fn header_of(json: &[u8], wanted: &str, raw: &[u8]) -> Result<(String, String)> {
    let fail = |error: String| unrecognized(wanted, &format!("couldn't get version/kind; json parse error: {error}"), raw);
    let value: Value = serde_json::from_slice(json).map_err(|e| fail(object::syntax::go_json(&e, json)))?;
    let Some(map) = value.as_object() else {
        let into =
            "struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }";
        let what = object::patch::go_type_name(&value);
        return if value.is_null() {
            Ok(Default::default())
        } else {
            Err(fail(format!("json: cannot unmarshal {what} into Go value of type {into}")))
        };
    };
    let text = |key: &str| match map.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => {
            let what = object::patch::go_type_name(other);
            Err(fail(format!("json: cannot unmarshal {what} into Go struct field .{key} of type string")))
        }
    };
    Ok((text("apiVersion")?, text("kind")?))
}

/// The beginning of a body: as text what looks like JSON, else in hex.
fn shown_body(raw: &[u8]) -> String {
    let start = raw.get(..SHOWN).unwrap_or(raw);
    let shown = match raw.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => start.iter().map(|b| format!("{b:02x}")).collect(),
    };
    if raw.len() > SHOWN { format!("{shown} ...") } else { shown }
}

/// A body may leave out its kind and version, but not be of another.
fn check_kind((api_version, kind): &(String, String), resource: &Resource) -> Result<()> {
    let Some((shown, why)) = other_kind(api_version, kind, resource)? else { return Ok(()) };
    let kind = if kind.is_empty() { &*resource.kind.kind } else { kind.as_str() };
    let wanted = &resource.kind.kind;
    Err(ApiError::bad_request(format!("{kind} in version {shown:?} cannot be handled as a {wanted}: {why}")))
}

/// If this is not `resource`'s kind: its version, and why it cannot be turned into that kind.
pub fn other_kind(api_version: &str, kind: &str, resource: &Resource) -> Result<Option<(String, String)>> {
    let wanted = &resource.kind;
    let version = if api_version.is_empty() { Some(wanted.group_version()) } else { GroupVersion::parse(api_version) };
    let Some(version) = version else {
        return Err(ApiError::bad_request(format!("unexpected GroupVersion string: {api_version}")));
    };
    let kind = if kind.is_empty() { &*wanted.kind } else { kind };
    if resource.custom.is_some() && version != wanted.group_version() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            wanted.group_version()
        )));
    }
    if version == wanted.group_version() && kind == &*wanted.kind {
        return Ok(None);
    }
    let why = if version.group == wanted.group && version.version == wanted.version {
        let package = if wanted.group.is_empty() { "core" } else { wanted.group.split('.').next().unwrap_or_default() };
        format!("converting ({}.{kind}) to ({package}.{}): unknown conversion", version.version, wanted.kind)
    } else {
        format!(
            "no kind {kind:?} is registered for version {:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            version.to_string()
        )
    };
    let shown = version.to_string();
    let shown = shown.rsplit('/').next().unwrap_or_default();
    Ok(Some((shown.to_owned(), why)))
}

/// 400 for values of the wrong type.
pub fn undecodable(error: DecodeError, resource: &Resource) -> Box<ApiError> {
    let kind = &resource.kind;
    ApiError::new(
        400,
        Reason::BadRequest,
        format!("{} in version {:?} cannot be handled as a {}: {error}", kind.kind, &*kind.version, kind.kind),
    )
}
