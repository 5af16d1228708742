//! Kinds of the API's own machinery: aggregated API servers, fair use of the server, requests for certificates.

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{deep, field};

/// `ValidateAPIService`.
pub(super) fn api_service(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let (group, version) = (text(field(spec, "group")), text(field(spec, "version")));
    let name = deep(object, &["metadata", "name"]);
    let expected = format!("{version}.{group}");
    if text(name) != expected {
        let meta = Path::root("metadata");
        e.invalid(&meta.child("name"), name, &format!("must be `spec.version+\".\"+spec.group`: {expected:?}"));
    }
    if group.is_empty() && version != "v1" {
        e.required(&path.child("group"), "only v1 may have an empty group and it better be legacy kube");
    }
    if !group.is_empty() {
        e.name(&path.child("group"), group, names::dns1123_subdomain);
    }
    e.name(&path.child("version"), version, names::dns1035_label);
    for (key, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let priority = field(spec, key).as_i64().unwrap_or(0);
        if !(1..=most).contains(&priority) {
            e.invalid(&path.child(key), &priority.into(), &format!("must be positive and less than {most}"));
        }
    }
    let (service, bundle) = (field(spec, "service"), text(field(spec, "caBundle")));
    let insecure = field(spec, "insecureSkipTLSVerify");
    let trusting = insecure == &Value::Bool(true);
    if service.is_null() {
        if trusting {
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            e.invalid(&path.child("insecureSkipTLSVerify"), insecure, detail);
        }
        return;
    }
    let at = path.child("service");
    for key in ["namespace", "name"] {
        if text(field(service, key)).is_empty() {
            e.required(&at.child(key), "");
        }
    }
    if trusting && !bundle.is_empty() {
        e.invalid(&path.child("insecureSkipTLSVerify"), insecure, "may not be true if caBundle is present");
    }
}

/// `ValidateFlowSchema`.
pub(super) fn flow_schema(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let name = text(deep(object, &["metadata", "name"]));
    let precedence = field(spec, "matchingPrecedence").as_i64().unwrap_or(0);
    let at = path.child("matchingPrecedence");
    if precedence <= 0 {
        e.invalid(&at, &precedence.into(), "must be a positive value");
    } else if precedence > 10_000 {
        e.invalid(&at, &precedence.into(), "must not be greater than 10000");
    } else if precedence == 1 && name != "exempt" {
        e.invalid(&at, &precedence.into(), "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    let level = path.child("priorityLevelConfiguration");
    match text(deep(spec, &["priorityLevelConfiguration", "name"])) {
        "" => e.required(&level.child("name"), "must reference a priority level"),
        name => e.name(&level.child("name"), name, names::dns1123_subdomain),
    }
    let list = path.child("rules");
    for (i, rule) in items(field(spec, "rules")).iter().enumerate() {
        let path = list.index(i);
        if items(field(rule, "subjects")).is_empty() {
            e.required(&path.child("subjects"), "subjects must contain at least one value");
        }
        if items(field(rule, "resourceRules")).is_empty() && items(field(rule, "nonResourceRules")).is_empty() {
            e.required(&path, "at least one of resourceRules and nonResourceRules has to be non-empty");
        }
    }
}

/// `ValidatePriorityLevelConfiguration`.
pub(super) fn priority_level(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let kind = field(spec, "type");
    let (limited, exempt) = (field(spec, "limited"), field(spec, "exempt"));
    if (text(deep(object, &["metadata", "name"])) == "exempt") != (text(kind) == "Exempt") {
        e.invalid(&path.child("type"), kind, "type must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match text(kind) {
        "Exempt" => {
            if !limited.is_null() {
                e.forbidden(&path.child("limited"), "must be nil if the type is not Limited");
            }
        }
        "Limited" => {
            if !exempt.is_null() {
                e.forbidden(&path.child("exempt"), "must be nil if the type is Limited");
            }
            let at = path.child("limited");
            match limited {
                Value::Null => e.required(&at, "must not be empty when type is Limited"),
                limited => limits(e, limited, &at),
            }
        }
        _ => e.unsupported(&path.child("type"), kind, &["Exempt", "Limited"]),
    }
}

fn limits(e: &mut Errors, limited: &Value, path: &Path<'_>) {
    let shares = field(limited, "nominalConcurrencyShares");
    if shares.as_i64().is_some_and(|n| n < 0) {
        e.invalid(&path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
    let at = path.child("limitResponse");
    let (kind, queuing) = (deep(limited, &["limitResponse", "type"]), deep(limited, &["limitResponse", "queuing"]));
    let queues = at.child("queuing");
    match (text(kind), queuing) {
        ("Reject", Value::Null) => {}
        ("Reject", _) => e.forbidden(&queues, "must be nil if limited.limitResponse.type is not Limited"),
        ("Queue", Value::Null) => e.required(&queues, "must not be empty if limited.limitResponse.type is Limited"),
        ("Queue", queuing) => {
            let number = |key: &str| field(queuing, key).as_i64().unwrap_or(0);
            for key in ["queueLengthLimit", "queues", "handSize"] {
                if number(key) <= 0 {
                    e.invalid(&queues.child(key), &number(key).into(), "must be positive");
                }
            }
            if number("handSize") > number("queues") {
                let detail = format!("should not be greater than queues ({})", number("queues"));
                e.invalid(&queues.child("handSize"), &number("handSize").into(), &detail);
            }
        }
        _ => e.unsupported(&at.child("type"), kind, &["Queue", "Reject"]),
    }
}

/// All that a key in a certificate may be used for, in order.
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// `ValidateCertificateSigningRequestCreate`, but for what stands inside the request.
pub(super) fn signing_request(e: &mut Errors, object: &Value) {
    let (spec, path) = (field(object, "spec"), Path::root("spec"));
    let usages = items(field(spec, "usages"));
    let list = path.child("usages");
    if usages.is_empty() {
        e.required(&list, "");
    }
    for (i, usage) in usages.iter().enumerate() {
        if !USAGES.contains(&text(usage)) {
            e.unsupported(&list.index(i), usage, &USAGES);
        }
        if usages.iter().take(i).any(|before| before == usage) {
            e.duplicate(&list.index(i), usage);
        }
    }
    signer(e, field(spec, "signerName"), &path.child("signerName"));
    let seconds = field(spec, "expirationSeconds");
    if seconds.as_i64().is_some_and(|s| s < 600) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        e.invalid(&path.child("expirationSeconds"), seconds, detail);
    }
}

fn signer(e: &mut Errors, name: &Value, path: &Path<'_>) {
    signer_name(e, text(name), path);
    if text(name) == "kubernetes.io/legacy-unknown" {
        e.invalid(path, name, "the legacy signerName is not allowed via this API version");
    }
}

/// `ValidateSignerName`: a domain of at least two labels, and a path without slashes.
pub(super) fn signer_name(e: &mut Errors, name: &str, path: &Path<'_>) {
    if name.is_empty() {
        return e.required(path, "");
    }
    let Some((domain, rest)) = name.split_once('/').filter(|(_, rest)| !rest.contains('/')) else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return e.invalid(path, &name.into(), detail);
    };
    if domain.len() > 253 {
        e.too_long(path, 253);
    }
    for label in domain.split('.') {
        for wrong in names::dns1123_label(label) {
            e.invalid(path, &domain.into(), &format!("validating label {label:?}: {wrong}"));
        }
    }
    if !domain.contains('.') {
        e.invalid(path, &domain.into(), "should be a domain with at least two segments separated by dots");
    }
    for label in rest.split('.') {
        for wrong in names::dns1123_subdomain(label) {
            e.invalid(path, &rest.into(), &format!("validating label {label:?}: {wrong}"));
        }
    }
}
