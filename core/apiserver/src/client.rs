//! The API for the parts of the control plane: the same pipeline as for clients outside, without HTTP around it.

use object::{GroupVersionResource, Result, Time, Value};
use store::Store;

use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::write::{DeleteOptions, PatchKind, Target, WriteOptions};

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
        self.api.get(&target)
    }

    /// Creates an object. Its name may be generated.
    pub fn create(&mut self, gvr: &GroupVersionResource, namespace: &str, object: Value) -> Result<Value> {
        let target = self.target(gvr, namespace, "", "")?;
        let object = canonical(&target, object)?;
        self.api.create(self.now, self.user, &target, object, &self.options())
    }

    /// Replaces an object. With a `resourceVersion` that is not the current one this is a conflict.
    pub fn update(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str, object: Value) -> Result<Value> {
        let target = self.target(gvr, namespace, name, "")?;
        let object = canonical(&target, object)?;
        self.api.update(self.now, self.user, &target, object, &self.options())
    }

    /// Replaces an object's status; everything else stays.
    pub fn update_status(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str, object: Value) -> Result<Value> {
        let target = self.target(gvr, namespace, name, "status")?;
        let object = canonical(&target, object)?;
        self.api.update(self.now, self.user, &target, object, &self.options())
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
        self.api.patch(self.now, self.user, &target, kind, patch, &self.options())
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
        self.api.create(self.now, self.user, &target, body, &self.options())
    }

    /// Asks for the deletion of an object.
    pub fn delete(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str, options: &DeleteOptions) -> Result<()> {
        let target = self.target(gvr, namespace, name, "")?;
        self.api.delete(self.now, self.user, &target, options).map(drop)
    }

    fn target(&self, gvr: &GroupVersionResource, namespace: &str, name: &str, subresource: &str) -> Result<Target> {
        Ok(Target::new(self.api.resource(gvr)?, namespace, name, subresource))
    }

    /// Parts of the control plane are their own field managers, under their user's last name.
    fn options(&self) -> WriteOptions {
        let manager = match self.user.name.as_str() {
            name if name.starts_with("system:serviceaccount:kube-system:") => "kube-controller-manager",
            name if name.starts_with("system:node:") => "kubelet",
            name => name.strip_prefix("system:").unwrap_or(name),
        };
        WriteOptions { field_manager: manager.to_owned(), ..WriteOptions::default() }
    }
}

/// Brings an object into the form in which bodies from outside arrive: what Go leaves out is left out.
fn canonical(target: &Target, object: Value) -> Result<Value> {
    let resource = &target.resource;
    let decoded = schema::decode::from_value(resource.ty(), object).map_err(|e| crate::edge::body::undecodable(e, resource))?;
    Ok(decoded.object)
}
