//! Errors of the API, in Kubernetes' words. [`ApiError::to_status`] is the one place where they become a `Status`.
//!
//! The rules are those of `k8s.io/apimachinery/pkg/api/errors`: each constructor sets code, reason, message and details.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::gvk::{GroupResource, GroupVersionKind};

/// Result of an API operation.
pub type Result<T, E = Box<ApiError>> = std::result::Result<T, E>;

/// A `Status` failure. Boxed in [`Result`], since it is large and rare.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason.
    pub reason: Reason,
    /// Kubernetes' message.
    pub message: String,
    /// `details`: name, group, kind, uid, causes, retryAfterSeconds.
    pub details: Details,
}

/// `details` of a Status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// Group of the resource.
    pub group: String,
    /// Resource (or kind, for Invalid) the error is about.
    pub kind: String,
    /// Uid of the object.
    pub uid: String,
    /// One entry for each thing that is wrong.
    pub causes: Vec<Cause>,
    /// When to come back.
    pub retry_after_seconds: u32,
    /// Where a list that cannot go on as it began can be taken up; it stands in the Status' metadata.
    pub continue_token: String,
}

/// One thing that is wrong: `field: what`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable type.
    pub reason: CauseType,
    /// Path of the field, `spec.containers[0].name`; empty where it is not about a field.
    pub field: String,
    /// Complete message *without* the field, as it stands in `causes[].message`.
    pub message: String,
}

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),* }
        impl $name {
            /// The text used on the wire.
            pub fn as_str(self) -> &'static str { match self { $($name::$variant => $text),* } }

            /// From the text used on the wire.
            pub fn parse(text: &str) -> Option<Self> { match text { $($text => Some($name::$variant),)* _ => None } }
        }
    };
}

named! {
    /// `reason` of a Status (`metav1.StatusReason`).
    #[allow(missing_docs)]
    Reason {
        Unknown = "", Unauthorized = "Unauthorized", Forbidden = "Forbidden", NotFound = "NotFound",
        AlreadyExists = "AlreadyExists", Conflict = "Conflict", Gone = "Gone", Invalid = "Invalid",
        ServerTimeout = "ServerTimeout", Timeout = "Timeout", TooManyRequests = "TooManyRequests",
        BadRequest = "BadRequest", MethodNotAllowed = "MethodNotAllowed", NotAcceptable = "NotAcceptable",
        RequestEntityTooLarge = "RequestEntityTooLarge", UnsupportedMediaType = "UnsupportedMediaType",
        InternalError = "InternalError", Expired = "Expired", ServiceUnavailable = "ServiceUnavailable",
    }
}

named! {
    /// `reason` of a cause (`metav1.CauseType`, and `field.ErrorType` for validation).
    #[allow(missing_docs)]
    CauseType {
        NotFound = "FieldValueNotFound", Required = "FieldValueRequired", Duplicate = "FieldValueDuplicate",
        Invalid = "FieldValueInvalid", NotSupported = "FieldValueNotSupported", Forbidden = "FieldValueForbidden",
        TooLong = "FieldValueTooLong", TooMany = "FieldValueTooMany", Internal = "InternalError",
        TypeInvalid = "FieldValueTypeInvalid", UnexpectedServerResponse = "UnexpectedServerResponse",
        FieldManagerConflict = "FieldManagerConflict", ResourceVersionTooLarge = "ResourceVersionTooLarge",
        NamespaceTerminating = "NamespaceTerminating", DisruptionBudget = "DisruptionBudget",
    }
}

impl Cause {
    /// `field: Required value: detail` (or without the detail).
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Cause::field(CauseType::Required, field, with_detail("Required value", detail))
    }

    /// `field: Invalid value: <value>: detail`. Texts are quoted, other values stand as JSON.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Cause::field(CauseType::Invalid, field, with_detail(&format!("Invalid value: {}", shown(value)), detail))
    }

    /// As [`Cause::invalid`], for a value that Kubernetes shows in a form of its own.
    pub fn invalid_shown(field: impl Into<String>, shown: &str, detail: &str) -> Self {
        Cause::field(CauseType::Invalid, field, with_detail(&format!("Invalid value: {shown}"), detail))
    }

    /// `field: Unsupported value: <value>: supported values: "a", "b"`.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let mut message = format!("Unsupported value: {}", shown(value));
        if !supported.is_empty() {
            let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
            message += &format!(": supported values: {}", list.join(", "));
        }
        Cause::field(CauseType::NotSupported, field, message)
    }

    /// `field: Duplicate value: <value>`.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Cause::field(CauseType::Duplicate, field, format!("Duplicate value: {}", shown(value)))
    }

    /// `field: Not found: <value>`.
    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Cause::field(CauseType::NotFound, field, format!("Not found: {}", shown(value)))
    }

    /// `field: Forbidden: detail`.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Cause::field(CauseType::Forbidden, field, with_detail("Forbidden", detail))
    }

    /// `field: Too long: may not be more than N bytes`.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        Cause::field(CauseType::TooLong, field, format!("Too long: may not be more than {max} bytes"))
    }

    /// `field: Too many: actual: must have at most N items`.
    pub fn too_many(field: impl Into<String>, actual: usize, max: usize) -> Self {
        Cause::field(CauseType::TooMany, field, format!("Too many: {actual}: must have at most {max} items"))
    }

    fn field(reason: CauseType, field: impl Into<String>, message: String) -> Self {
        Cause { reason, field: field.into(), message }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.field, self.message) }
    }
}

fn with_detail(head: &str, detail: &str) -> String {
    if detail.is_empty() { head.to_owned() } else { format!("{head}: {detail}") }
}

/// A value inside a message: texts quoted, numbers and booleans bare, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

impl ApiError {
    /// No refusal: what was asked for cannot be decided before a server outside has answered. It is done by itself then.
    pub fn pending() -> Box<Self> {
        ApiError::new(0, Reason::Unknown, "waits for the answer of a webhook")
    }

    /// The refusal that a server outside stated in a `Status`, with a code and a message of our own.
    pub fn from_status(code: u16, message: &str, status: &Value) -> Box<Self> {
        let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let reason = Reason::parse(&text(status, "reason")).unwrap_or(Reason::Unknown);
        let mut error = ApiError::new(code, reason, message);
        let Some(details) = status.get("details") else { return error };
        let causes = details.get("causes").and_then(Value::as_array).into_iter().flatten();
        error.details = Details {
            name: text(details, "name"),
            group: text(details, "group"),
            kind: text(details, "kind"),
            uid: text(details, "uid"),
            causes: causes
                .map(|cause| Cause {
                    reason: CauseType::parse(&text(cause, "reason")).unwrap_or(CauseType::Invalid),
                    field: text(cause, "field"),
                    message: text(cause, "message"),
                })
                .collect(),
            retry_after_seconds: details.get("retryAfterSeconds").and_then(Value::as_u64).unwrap_or(0).try_into().unwrap_or(0),
            continue_token: String::new(),
        };
        error
    }

    /// Whether this is [`ApiError::pending`].
    pub fn is_pending(&self) -> bool {
        self.code == 0
    }

    /// An error of any kind without details.
    pub fn new(code: u16, reason: Reason, message: impl Into<String>) -> Box<Self> {
        Box::new(ApiError { code, reason, message: message.into(), details: Details::default() })
    }

    fn about(code: u16, reason: Reason, resource: &GroupResource, name: &str, message: String) -> Box<Self> {
        let details = Details {
            name: name.to_owned(),
            group: resource.group.to_string(),
            kind: resource.resource.to_string(),
            ..Details::default()
        };
        Box::new(ApiError { code, reason, message, details })
    }

    /// 404 `pods "x" not found`.
    pub fn not_found(resource: &GroupResource, name: &str) -> Box<Self> {
        Self::about(404, Reason::NotFound, resource, name, format!("{resource} {name:?} not found"))
    }

    /// 404 for a path that nothing serves.
    pub fn no_such_path() -> Box<Self> {
        Self::new(404, Reason::NotFound, "the server could not find the requested resource")
    }

    /// 409 `pods "x" already exists`.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Box<Self> {
        Self::about(409, Reason::AlreadyExists, resource, name, format!("{resource} {name:?} already exists"))
    }

    /// 409 `Operation cannot be fulfilled on pods "x": why`.
    pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Box<Self> {
        Self::about(409, Reason::Conflict, resource, name, format!("Operation cannot be fulfilled on {resource} {name:?}: {why}"))
    }

    /// The conflict of a write whose resourceVersion is not the current one.
    pub fn modified(resource: &GroupResource, name: &str) -> Box<Self> {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403 `pods "x" is forbidden: why`.
    pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Box<Self> {
        let message = if resource.resource.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {name:?} is forbidden: {why}")
        };
        Self::about(403, Reason::Forbidden, resource, name, message)
    }

    /// 401.
    pub fn unauthorized() -> Box<Self> {
        Self::new(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Box<Self> {
        Self::new(400, Reason::BadRequest, message)
    }

    /// 405 `the server does not allow this method on the requested resource`.
    pub fn method_not_allowed() -> Box<Self> {
        Self::new(405, Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
    }

    /// 410 with reason Expired: the requested revision is compacted away.
    pub fn expired(message: impl Into<String>) -> Box<Self> {
        Self::new(410, Reason::Expired, message)
    }

    /// 415 for a body, or 406 for an answer, in a format that is not spoken here.
    pub fn unsupported_media_type(message: impl Into<String>) -> Box<Self> {
        Self::new(415, Reason::UnsupportedMediaType, message)
    }

    /// 500 `Internal error occurred: why`.
    pub fn internal(why: impl fmt::Display) -> Box<Self> {
        let message = format!("Internal error occurred: {why}");
        let mut error = Self::new(500, Reason::InternalError, message);
        error.details.causes.push(Cause { reason: CauseType::Internal, field: String::new(), message: why.to_string() });
        // Kubernetes writes no reason for the cause of an internal error.
        error
    }

    /// 422 `Kind "name" is invalid: ...`: all causes at once.
    pub fn invalid(kind: &GroupVersionKind, name: &str, causes: Vec<Cause>) -> Box<Self> {
        // What is wrong twice is said once, but counted twice.
        let mut list: Vec<String> = Vec::with_capacity(causes.len());
        for cause in causes.iter().map(Cause::to_string) {
            if !list.contains(&cause) {
                list.push(cause);
            }
        }
        let shown_kind = if kind.group.is_empty() { kind.kind.to_string() } else { format!("{}.{}", kind.kind, kind.group) };
        let what = match list.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let details = Details {
            name: name.to_owned(),
            group: kind.group.to_string(),
            kind: kind.kind.to_string(),
            causes,
            ..Details::default()
        };
        Box::new(ApiError {
            code: 422,
            reason: Reason::Invalid,
            message: format!("{shown_kind} {name:?} is invalid: {what}"),
            details,
        })
    }

    /// Whether this is a 404 about an object.
    pub fn is_not_found(&self) -> bool {
        self.reason == Reason::NotFound
    }

    /// Whether this is an optimistic-concurrency (or precondition) conflict.
    pub fn is_conflict(&self) -> bool {
        self.reason == Reason::Conflict
    }

    /// Whether the object was there already.
    pub fn is_already_exists(&self) -> bool {
        self.reason == Reason::AlreadyExists
    }

    /// Some errors carry details that say nothing, as Kubernetes writes them.
    fn has_empty_details(&self) -> bool {
        let routing = matches!(self.reason, Reason::NotFound | Reason::MethodNotAllowed | Reason::Invalid | Reason::Forbidden)
            || self.message.starts_with("406: ")
            || self.message.starts_with("415: ");
        routing && self.details == Details::default()
    }

    /// The `Status` object for the wire.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        let d = &self.details;
        let mut details = Map::new();
        for (key, text) in [("name", &d.name), ("group", &d.group), ("kind", &d.kind), ("uid", &d.uid)] {
            if !text.is_empty() {
                details.insert(key.to_owned(), Value::from(text.as_str()));
            }
        }
        if !d.causes.is_empty() {
            details.insert("causes".to_owned(), d.causes.iter().map(cause_json).collect());
        }
        if d.retry_after_seconds > 0 {
            details.insert("retryAfterSeconds".to_owned(), d.retry_after_seconds.into());
        }
        if !details.is_empty() || self.has_empty_details() {
            status["details"] = Value::Object(details);
        }
        if !d.continue_token.is_empty() {
            status["metadata"]["continue"] = d.continue_token.as_str().into();
        }
        if self.reason != Reason::Unknown {
            status["reason"] = Value::from(self.reason.as_str());
        }
        status
    }
}

fn cause_json(cause: &Cause) -> Value {
    let mut out = Map::new();
    if cause.reason != CauseType::Internal {
        out.insert("reason".to_owned(), cause.reason.as_str().into());
    }
    out.insert("message".to_owned(), cause.message.as_str().into());
    if !cause.field.is_empty() {
        out.insert("field".to_owned(), cause.field.as_str().into());
    }
    Value::Object(out)
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}
