//! Volumes that are put together from several sources (`validateProjectionSources`).

use std::collections::BTreeSet;

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::{field, machinery, selector, volume};

pub(super) fn check(e: &mut Errors, projection: &Value, path: &Path<'_>) {
    let mut taken = BTreeSet::new();
    let list = path.child("sources");
    for (i, source) in items(field(projection, "sources")).iter().enumerate() {
        let at = list.index(i);
        for kind in ["secret", "configMap"] {
            named(e, field(source, kind), &mut taken, path, &at.child(kind));
        }
        for file in items(field(field(source, "downwardAPI"), "items")) {
            volume::downward_file(e, file, &at.child("downwardAPI"));
            let target = text(field(file, "path"));
            if !target.is_empty() {
                unique(e, &mut taken, target, target, path);
            }
        }
        token(e, field(source, "serviceAccountToken"), path, &at.child("serviceAccountToken"));
        let bundle = field(source, "clusterTrustBundle");
        if !bundle.is_null() {
            trust_bundle(e, bundle, &at.child("clusterTrustBundle"));
            let target = text(field(bundle, "path"));
            unique(e, &mut taken, target, target, path);
        }
        let kinds = ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
        if kinds.iter().filter(|kind| !field(source, kind).is_null()).count() > 1 {
            e.forbidden(&at, "may not specify more than 1 volume type per source");
        }
    }
}

/// No two sources may write the same file; the complaint names `blamed`.
fn unique<'a>(e: &mut Errors, taken: &mut BTreeSet<&'a str>, target: &'a str, blamed: &str, path: &Path<'_>) {
    if !taken.insert(target) {
        e.invalid(path, &blamed.into(), "conflicting duplicate paths");
    }
}

fn named<'a>(e: &mut Errors, source: &'a Value, taken: &mut BTreeSet<&'a str>, volume: &Path<'_>, path: &Path<'_>) {
    if source.is_null() {
        return;
    }
    let name = text(field(source, "name"));
    if name.is_empty() {
        e.required(&path.child("name"), "");
    }
    let list = path.child("items");
    for (i, item) in items(field(source, "items")).iter().enumerate() {
        volume::key_path(e, item, &list.index(i));
        let target = text(field(item, "path"));
        if !target.is_empty() {
            unique(e, taken, target, name, volume);
        }
    }
}

/// The path of a token is reported as the volume's.
fn token(e: &mut Errors, token: &Value, volume: &Path<'_>, path: &Path<'_>) {
    if token.is_null() {
        return;
    }
    let seconds = field(token, "expirationSeconds");
    match seconds.as_i64() {
        Some(s) if s < 600 => {
            e.invalid(&path.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
        }
        Some(s) if s > 1 << 32 => {
            e.invalid(&path.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds");
        }
        _ => {}
    }
    match text(field(token, "path")) {
        "" => e.required(&volume.child("path"), ""),
        target => volume::unreserved_path(e, target, &volume.child("path")),
    }
}

fn trust_bundle(e: &mut Errors, bundle: &Value, path: &Path<'_>) {
    let (name, signer, labels) = (field(bundle, "name"), field(bundle, "signerName"), field(bundle, "labelSelector"));
    match (name.as_str(), signer.as_str()) {
        (Some(_), Some(_)) => {
            let shown = crate::internal::compact("ClusterTrustBundle", bundle);
            e.invalid_shown(path, &shown, "only one of name and signerName may be used");
        }
        (Some(name), None) => {
            if name.is_empty() {
                e.required(&path.child("name"), "must be a valid object name");
            }
            for wrong in trust_bundle_name(name) {
                e.invalid(&path.child("name"), &name.into(), &format!("not a valid clustertrustbundlename: {wrong}"));
            }
            if !labels.is_null() {
                e.invalid(&path.child("labelSelector"), labels, "labelSelector must be unset if name is specified");
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                e.required(&path.child("signerName"), "must be a valid signer name");
            }
            machinery::signer_name(e, signer, &path.child("signerName"));
            selector::label_selector(e, labels, &path.child("labelSelector"));
        }
        (None, None) => e.required(path, "either name or signerName must be specified"),
    }
    let target = text(field(bundle, "path"));
    if target.is_empty() {
        e.required(&path.child("path"), "");
    }
    volume::unreserved_path(e, target, &path.child("path"));
}

/// A bundle of a signer bears its name before a colon.
fn trust_bundle_name(name: &str) -> Vec<String> {
    names::dns1123_subdomain(name.rsplit_once(':').map_or(name, |(_, own)| own))
}
