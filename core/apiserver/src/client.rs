//! The API for the parts of the control plane: the same pipeline as for clients outside, without HTTP around it.

use object::{GroupVersionResource, Result, Time, Value};
use store::Store;

use crate::auth::{self, Attributes};
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::strategy;
use crate::write::{DeleteOptions, PatchKind, Target, Write, WriteOptions};

/// A resource by its names.
pub fn gvr(group: &str, version: &str, resource: &str) -> GroupVersionResource {
    GroupVersionResource::new(group, version, resource)
}

/// The API as one user sees it at one time.
pub struct Client<'a> {
    api: &'a mut ApiServer,
    now: Time,
    user: &'a UserInfo,
}

impl<'a> Client<'a> {
    pub(crate) fn new(api: &'a mut ApiServer, now: Time, user: &'a UserInfo) -> Self {
        Client { api, now, user }
    }

    /// The objects, to read.
    pub fn store(&self) -> &Store {
        self.api.store()
    }

    /// The time of this client's requests.
    pub fn now(&self) -> Time {
        self.now
    }

    /// One object, in the version asked for.
    pub fn get(&self, gvr: &GroupVersionResource, namespace: &str, name: &str) -> Result<Value> {
        let target = self.target(gvr, namespace, name, "")?;
        self.check("get", &target)?;
        self.api.get(&target)
    }

    /// Creates an object. Its name may be generated.
    pub fn create(&mut self, gvr: &GroupVersionResource, namespace: &str, object: Value) -> Result<Value> {
        let target = self.target(gvr, namespace, "", "")?;
        let object = canonical(&target, object)?;
        self.write("create", &target, |api, write| api.create(write, object))
    }

    /// Replaces an object. With a `resourceVersion` that is not the current one this is a conflict.
    pub fn update(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str, object: Value) -> Result<Value> {
        let target = self.target(gvr, namespace, name, "")?;
        let object = canonical(&target, object)?;
        self.write("update", &target, |api, write| api.update(write, object))
    }

    /// Replaces an object's status; everything else stays.
    pub fn update_status(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str, object: Value) -> Result<Value> {
        let target = self.target(gvr, namespace, name, "status")?;
        let object = canonical(&target, object)?;
        self.write("update", &target, |api, write| api.update(write, object))
    }

    /// Takes finalizers from a Namespace's spec, which is done through a subresource of its own.
    pub fn finalize(&mut self, namespace: &str, object: Value) -> Result<Value> {
        let target = self.target(&gvr("", "v1", "namespaces"), "", namespace, "finalize")?;
        self.write("update", &target, |api, write| strategy::subresource::finalize(api, write, object))
    }

    /// Changes an object by a patch; `subresource` is empty or `status`.
    pub fn patch(
        &mut self,
        gvr: &GroupVersionResource,
        namespace: &str,
        name: &str,
        subresource: &str,
        kind: PatchKind,
        patch: Value,
    ) -> Result<Value> {
        let target = self.target(gvr, namespace, name, subresource)?;
        self.write("patch", &target, |api, write| api.patch(write, kind, patch))
    }

    /// Posts to a subresource: `binding`, `eviction`.
    pub fn create_subresource(
        &mut self,
        gvr: &GroupVersionResource,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: Value,
    ) -> Result<Value> {
        let target = self.target(gvr, namespace, name, subresource)?;
        self.write("create", &target, |api, write| api.create(write, body))
    }

    /// Asks for the deletion of an object.
    pub fn delete(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str, options: &DeleteOptions) -> Result<()> {
        let target = self.target(gvr, namespace, name, "")?;
        self.check("delete", &target)?;
        self.api.delete(self.now, self.user, &target, options).map(drop)
    }

    /// Writes, if the user may.
    fn write(
        &mut self,
        verb: &str,
        target: &Target,
        write: impl FnOnce(&mut ApiServer, &Write<'_>) -> Result<Value>,
    ) -> Result<Value> {
        self.check(verb, target)?;
        let options = self.options();
        write(self.api, &Write { now: self.now, user: self.user, target, options: &options })
    }

    fn check(&self, verb: &str, target: &Target) -> Result<()> {
        let gvr = &target.resource.gvr;
        let is_namespace = gvr.group.is_empty() && &*gvr.resource == "namespaces";
        let wanted = Attributes {
            verb,
            group: &gvr.group,
            version: &gvr.version,
            resource: &gvr.resource,
            subresource: &target.subresource,
            namespace: if is_namespace { &target.name } else { &target.namespace },
            name: &target.name,
            path: "",
            fields: &[],
        };
        auth::check(self.api, self.user, &wanted)
    }

    fn target(&self, gvr: &GroupVersionResource, namespace: &str, name: &str, subresource: &str) -> Result<Target> {
        Ok(Target::new(self.api.resource(gvr)?, namespace, name, subresource))
    }

    /// Parts of the control plane are their own field managers, under their user's last name.
    fn options(&self) -> WriteOptions {
        let manager = match self.user.name.as_str() {
            name if name.starts_with("system:serviceaccount:kube-system:") => "kube-controller-manager",
            name if name.starts_with("system:node:") => "kubelet",
            "system:apiserver" => "kube-apiserver",
            name => name.strip_prefix("system:").unwrap_or(name),
        };
        WriteOptions { field_manager: manager.to_owned(), ..WriteOptions::default() }
    }
}

/// Brings an object into the form in which bodies from outside arrive: what Go leaves out is left out.
fn canonical(target: &Target, object: Value) -> Result<Value> {
    let resource = &target.resource;
    let decoded =
        schema::decode::resource_from_value(resource, object).map_err(|e| crate::edge::body::undecodable(e, resource))?;
    Ok(decoded.object)
}
