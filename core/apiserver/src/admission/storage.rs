//! Classes that are filled in where none is named, and what keeps storage from being deleted while it is used.

use object::quantity::Quantity;
use object::value::{self, at, bool_at, list_at, str_at};
use object::{GroupResource, Result, Value};
use store::Key;

use super::{Attributes, Operation};
use crate::server::ApiServer;

/// DefaultStorageClass: the newest of the classes that say they are the default, for claims that name none.
pub fn default_class(api: &mut ApiServer, attributes: &Attributes<'_>, claim: &mut Value) -> Result<()> {
    let named = at(claim, &["spec", "storageClassName"]).is_some()
        || object::meta::annotation(claim, "volume.beta.kubernetes.io/storage-class").is_some();
    if !attributes.is("", "persistentvolumeclaims") || attributes.operation != Operation::Create || named {
        return Ok(());
    }
    if let Some(name) = default_of(api, "storage.k8s.io", "storageclasses", "storageclass.kubernetes.io/is-default-class") {
        value::set(claim, &["spec", "storageClassName"], name);
    }
    Ok(())
}

/// DefaultIngressClass.
pub fn default_ingress_class(api: &mut ApiServer, attributes: &Attributes<'_>, ingress: &mut Value) -> Result<()> {
    let named = at(ingress, &["spec", "ingressClassName"]).is_some()
        || object::meta::annotation(ingress, "kubernetes.io/ingress.class").is_some();
    if !attributes.is("networking.k8s.io", "ingresses") || attributes.operation != Operation::Create || named {
        return Ok(());
    }
    if let Some(name) = default_of(api, "networking.k8s.io", "ingressclasses", "ingressclass.kubernetes.io/is-default-class") {
        value::set(ingress, &["spec", "ingressClassName"], name);
    }
    Ok(())
}

/// The class whose annotation says that it is the default; the newest, and of those the first by name.
fn default_of(api: &ApiServer, group: &str, resource: &str, annotation: &str) -> Option<String> {
    let classes = GroupResource::new(group, resource);
    let classes = api.store.list(&classes, None).map(|class| class.value());
    let classes = classes.filter(|class| object::meta::annotation(class, annotation) == Some("true"));
    let newest = classes.min_by_key(|class| {
        let created = object::Time::parse(str_at(class, &["metadata", "creationTimestamp"])).unwrap_or_default();
        (std::cmp::Reverse(created), str_at(class, &["metadata", "name"]).to_owned())
    });
    newest.map(|class| str_at(&class, &["metadata", "name"]).to_owned())
}

/// PersistentVolumeClaimResize: a claim grows only where its class says that volumes can.
pub fn claim_resize(api: &mut ApiServer, attributes: &Attributes<'_>, claim: &Value) -> Result<()> {
    let Some(old) = attributes.old.filter(|_| attributes.is("", "persistentvolumeclaims")) else { return Ok(()) };
    let size = |claim: &Value| {
        at(claim, &["spec", "resources", "requests", "storage"]).and_then(Quantity::from_json).map_or(0, |q| q.value())
    };
    if attributes.operation != Operation::Update || size(claim) <= size(old) {
        return Ok(());
    }
    let class = |claim: &Value| {
        let said = object::meta::annotation(claim, "volume.beta.kubernetes.io/storage-class");
        said.unwrap_or(str_at(claim, &["spec", "storageClassName"])).to_owned()
    };
    let classes = GroupResource::literal("storage.k8s.io", "storageclasses");
    let same = class(claim) == class(old);
    let stored = api.store.get(&Key::new(&classes, "", &class(claim))).filter(|_| same);
    if stored.is_some_and(|class| bool_at(&class.value(), &["allowVolumeExpansion"])) {
        return Ok(());
    }
    let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    Err(attributes.forbidden(why))
}

/// StorageObjectInUseProtection: claims and volumes carry a finalizer that a controller takes away when nothing uses them.
pub fn in_use_protection(_api: &mut ApiServer, attributes: &Attributes<'_>, object: &mut Value) -> Result<()> {
    let finalizer = if attributes.is("", "persistentvolumeclaims") {
        "kubernetes.io/pvc-protection"
    } else if attributes.is("", "persistentvolumes") {
        "kubernetes.io/pv-protection"
    } else {
        return Ok(());
    };
    let mut finalizers = list_at(object, &["metadata", "finalizers"]).to_vec();
    if attributes.operation == Operation::Create && !finalizers.iter().any(|f| f == finalizer) {
        finalizers.push(finalizer.into());
        value::set(object, &["metadata", "finalizers"], finalizers);
    }
    Ok(())
}
