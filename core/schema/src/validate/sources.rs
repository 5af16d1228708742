//! Kinds of volumes that pods and PersistentVolumes have in common: what each must say of itself.

use object::{Value, names};

use super::errors::{Errors, Path, items, text};
use super::field;
use super::volume::{local_path, no_backsteps};

/// Texts that a kind of volume cannot do without, in the order in which they are missed.
const REQUIRED: [(&str, &[&str]); 16] = [
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("nfs", &["server", "path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("glusterfs", &["endpoints", "path"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("portworxVolume", &["volumeID"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("storageos", &["volumeName"]),
    ("local", &["path"]),
];

/// The rules of a kind of volume; `persistent` ones name the namespace of their secrets too.
pub(super) fn check(e: &mut Errors, kind: &str, source: &Value, persistent: bool, path: &Path<'_>) {
    for key in REQUIRED.iter().filter(|(of, _)| *of == kind).flat_map(|(_, keys)| *keys) {
        if text(field(source, key)).is_empty() {
            e.required(&path.child(key), "");
        }
    }
    match kind {
        "hostPath" => host_path(e, source, path),
        "gitRepo" => local_path(e, text(field(source, "directory")), &path.child("directory")),
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            range(e, source, "partition", "must be between 1 and 255, inclusive", path)
        }
        "nfs" if !text(field(source, "path")).starts_with('/') => {
            e.invalid(&path.child("path"), &text(field(source, "path")).into(), "must be an absolute path");
        }
        "iscsi" => iscsi(e, source, persistent, path),
        "flocker" => flocker(e, source, path),
        "rbd" | "cephfs" => {
            if items(field(source, "monitors")).is_empty() {
                e.required(&path.child("monitors"), "");
            }
            if kind == "rbd" && text(field(source, "image")).is_empty() {
                e.required(&path.child("image"), "");
            }
        }
        "cinder" => secret(e, source, persistent, path),
        "quobyte" => quobyte(e, source, path),
        "fc" => fibre_channel(e, source, path),
        "flexVolume" => flex(e, source, path),
        "azureFile" if persistent && field(source, "secretNamespace").as_str() == Some("") => {
            e.required(&path.child("secretNamespace"), "");
        }
        "azureDisk" => azure_disk(e, source, path),
        "storageos" => storage_os(e, source, persistent, path),
        "local" => no_backsteps(e, text(field(source, "path")), &path.child("path")),
        _ => {}
    }
}

/// `ValidateHostPathVolumeSource`.
fn host_path(e: &mut Errors, source: &Value, path: &Path<'_>) {
    let target = text(field(source, "path"));
    if target.is_empty() {
        return e.required(&path.child("path"), "");
    }
    no_backsteps(e, target, &path.child("path"));
    let types = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    e.one_of_if_any(&path.child("type"), field(source, "type"), &types);
}

fn range(e: &mut Errors, source: &Value, key: &str, detail: &str, path: &Path<'_>) {
    let number = field(source, key);
    if number.as_i64().is_some_and(|n| !(0..=255).contains(&n)) {
        e.invalid(&path.child(key), number, detail);
    }
}

fn iscsi(e: &mut Errors, source: &Value, persistent: bool, path: &Path<'_>) {
    let name = text(field(source, "iqn"));
    let which = if persistent { "must be valid format" } else { "must be valid format starting with iqn, eui, or naa" };
    if !name.is_empty() {
        iscsi_name(e, name, which, &path.child("iqn"));
    }
    range(e, source, "lun", "must be between 0 and 255, inclusive", path);
    let authenticates = ["chapAuthDiscovery", "chapAuthSession"].iter().any(|key| field(source, key) == &Value::Bool(true));
    if authenticates && field(source, "secretRef").is_null() {
        e.required(&path.child("secretRef"), "");
    }
    if let Some(name) = field(source, "initiatorName").as_str() {
        // The path is written in small letters in Kubernetes.
        iscsi_name(e, name, which, &path.child("initiatorname"));
    }
}

/// `iqn.YYYY-MM.domain:rest`, `eui.` and 16 characters, or `naa.` and 32.
fn iscsi_name(e: &mut Errors, name: &str, which: &str, path: &Path<'_>) {
    let plain = |rest: &str, len: usize| rest.len() == len && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    let qualified = || {
        let (date, rest) = name.strip_prefix("iqn.")?.split_once('.')?;
        let (year, month) = date.split_once('-')?;
        let (domain, id) = rest.split_once(':')?;
        let domain_ok =
            !domain.is_empty() && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':'));
        let id_ok = !id.is_empty() && !id.contains([',', ';', '*', '&', '$', '|']) && !id.contains(char::is_whitespace);
        (digits(year, 4) && digits(month, 2) && domain_ok && id_ok).then_some(())
    };
    match name.get(..3) {
        Some("iqn") if qualified().is_some() => {}
        Some("eui") if name.get(4..).is_some_and(|rest| plain(rest, 16)) => {}
        Some("naa") if name.get(4..).is_some_and(|rest| plain(rest, 32)) => {}
        Some("iqn" | "eui" | "naa") => e.invalid(path, &name.into(), "must be valid format"),
        _ => e.invalid(path, &name.into(), which),
    }
}

fn flocker(e: &mut Errors, source: &Value, path: &Path<'_>) {
    let (name, uuid) = (text(field(source, "datasetName")), text(field(source, "datasetUUID")));
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => e.required(path, "one of datasetName and datasetUUID is required"),
        (false, false) => {
            e.invalid(path, &"resource".into(), "datasetName and datasetUUID can not be specified simultaneously");
        }
        _ => {}
    }
    if name.contains('/') {
        e.invalid(&path.child("datasetName"), &name.into(), "must not contain '/'");
    }
}

/// A reference to a secret has a name, and that of a cluster-wide object a namespace.
fn secret(e: &mut Errors, source: &Value, persistent: bool, path: &Path<'_>) {
    let (reference, at) = (field(source, "secretRef"), path.child("secretRef"));
    if reference.is_null() {
        return;
    }
    let keys: &[&str] = if persistent { &["name", "namespace"] } else { &["name"] };
    for key in keys.iter().filter(|key| text(field(reference, key)).is_empty()) {
        e.required(&at.child(key), "");
    }
}

fn quobyte(e: &mut Errors, source: &Value, path: &Path<'_>) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = text(field(source, "registry"));
    if registry.is_empty() {
        e.required(&path.child("registry"), PAIRS);
    } else if text(field(source, "tenant")).len() >= 65 {
        e.required(&path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for _ in registry.split(',').filter(|pair| !pair.contains(':')) {
            e.invalid(&path.child("registry"), &registry.into(), PAIRS);
        }
    }
    if text(field(source, "volume")).is_empty() {
        e.required(&path.child("volume"), "");
    }
}

fn fibre_channel(e: &mut Errors, source: &Value, path: &Path<'_>) {
    let (targets, names, at) = (field(source, "targetWWNs"), items(field(source, "wwids")), path.child("targetWWNs"));
    match (items(targets).is_empty(), names.is_empty()) {
        (true, true) => e.required(&at, "must specify either targetWWNs or wwids, but not both"),
        (false, false) => e.invalid(&at, targets, "targetWWNs and wwids can not be specified simultaneously"),
        _ => {}
    }
    if !items(targets).is_empty() {
        match field(source, "lun") {
            Value::Null => e.required(&path.child("lun"), "lun is required if targetWWNs is specified"),
            _ => range(e, source, "lun", "must be between 0 and 255, inclusive", path),
        }
    }
}

fn flex(e: &mut Errors, source: &Value, path: &Path<'_>) {
    let options = path.child("options");
    for key in field(source, "options").as_object().into_iter().flatten().map(|(key, _)| key.as_str()) {
        let domain = format!(".{}", key.split('/').next().unwrap_or(key).to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            e.invalid(&options.key(key), &key.into(), "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_disk(e: &mut Errors, source: &Value, path: &Path<'_>) {
    e.one_of_if_any(&path.child("cachingMode"), field(source, "cachingMode"), &["None", "ReadOnly", "ReadWrite"]);
    e.one_of_if_any(&path.child("kind"), field(source, "kind"), &["Dedicated", "Managed", "Shared"]);
    let (uri, at) = (text(field(source, "diskURI")), path.child("diskURI"));
    match field(source, "kind").as_str() {
        Some("Managed") if !uri.starts_with("/subscriptions/") => {
            let shape = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
            e.unsupported(&at, &uri.into(), &[shape]);
        }
        Some(kind) if kind != "Managed" && !uri.starts_with("https://") => {
            let shape = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
            e.unsupported(&at, &uri.into(), &[shape]);
        }
        _ => {}
    }
}

fn storage_os(e: &mut Errors, source: &Value, persistent: bool, path: &Path<'_>) {
    for key in ["volumeName", "volumeNamespace"] {
        let name = text(field(source, key));
        if !name.is_empty() {
            e.name(&path.child(key), name, names::dns1123_label);
        }
    }
    secret(e, source, persistent, path);
}

/// `ValidateCSIDriverName`.
pub(super) fn driver_name(e: &mut Errors, name: &str, path: &Path<'_>) {
    if name.is_empty() {
        e.required(path, "");
    }
    if name.len() > 63 {
        e.too_long(path, 63);
    }
    e.all(path, &name.into(), names::dns1123_subdomain(&name.to_lowercase()));
}
