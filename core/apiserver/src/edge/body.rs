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
    let said = header_of(&json, &resource.kind.kind, true)?;
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
        return yaml(&request.body).map(|(value, _)| value);
    }
    serde_json::from_slice(&request.body)
        .map_err(|e| ApiError::bad_request(format!("error decoding patch: {}", go_syntax(&e, &request.body))))
}

/// The body as JSON, and what YAML of it was said twice.
fn json_bytes(request: &Request, resource: &Resource) -> Result<(Vec<u8>, Option<String>)> {
    match media_type(request) {
        "" | "application/json" => Ok((request.body.to_vec(), None)),
        "application/yaml" => yaml(&request.body).map(|(value, repeated)| (value.to_string().into_bytes(), repeated)),
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

fn is_yaml(request: &Request) -> bool {
    matches!(media_type(request), "application/yaml" | "application/apply-patch+yaml")
}

/// Reads YAML. Of a key that stands twice in a map the last one counts, and the first such key is reported.
fn yaml(bytes: &[u8]) -> Result<(Value, Option<String>)> {
    let text = std::str::from_utf8(bytes).map_err(|e| ApiError::bad_request(format!("error converting YAML to JSON: {e}")))?;
    let wrong = |e: serde_saphyr::Error| ApiError::bad_request(format!("error converting YAML to JSON: yaml: {e}"));
    match serde_saphyr::from_str(text) {
        Ok(value) => Ok((value, None)),
        Err(first) => {
            let Some(repeated) = repeated_key(&first) else { return Err(wrong(first)) };
            let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins };
            serde_saphyr::from_str_with_options(text, options).map(|value| (value, Some(repeated))).map_err(wrong)
        }
    }
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

/// `apiVersion` and `kind` of a body, both possibly empty.
fn header_of(json: &[u8], wanted: &str, quote: bool) -> Result<(String, String)> {
    let fail = |error: String| {
        let shown = shown_body(json, quote);
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {wanted}): couldn't get version/kind; json parse error: {error} ({shown})"
        ))
    };
    let value: Value = serde_json::from_slice(json).map_err(|e| fail(go_syntax(&e, json)))?;
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
    let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((text("apiVersion"), text("kind")))
}

/// What Kubernetes shows of a body it cannot read: text that looks like text, else hex.
fn shown_body(json: &[u8], _quote: bool) -> String {
    const MOST: usize = 64;
    if json.is_empty() {
        return "<empty>".to_owned();
    }
    if json.first() == Some(&b'{') {
        return String::from_utf8_lossy(json).chars().take(1024).collect();
    }
    json.iter().take(MOST).map(|b| format!("{b:02x}")).collect()
}

/// A JSON syntax error in the words of Go's decoder.
fn go_syntax(error: &serde_json::Error, json: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let line_start = json.split(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(|l| l.len() + 1).sum::<usize>();
    let at = line_start + error.column().saturating_sub(1);
    let found = json.get(at).map(|b| char::from(*b)).unwrap_or_default();
    let text = error.to_string();
    let looking = if text.contains("key must be a string") {
        "beginning of object key string"
    } else if text.contains("expected `:`") {
        return format!("invalid character {found:?} after object key");
    } else if text.contains("expected `,` or `}`") {
        return format!("invalid character {found:?} after object key:value pair");
    } else if text.contains("expected `,` or `]`") {
        return format!("invalid character {found:?} after array element");
    } else if text.contains("trailing characters") {
        return format!("invalid character {found:?} after top-level value");
    } else {
        "beginning of value"
    };
    format!("invalid character {found:?} looking for {looking}")
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
