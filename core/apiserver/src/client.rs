//! The API for the parts of the control plane: the same pipeline as for clients outside, without HTTP around it.

use std::sync::Arc;

use object::{ApiError, GroupVersionResource, Reason, Result, Time, Value};
use store::Store;

use crate::aggregation;
use crate::auth::{self, Attributes};
use crate::calls::{self, Digest, Work};
use crate::edge::query::Query;
use crate::edge::route::Route;
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::strategy::{self, scale};
use crate::write::{DeleteOptions, Patch, PatchKind, Target, Write, WriteOptions};

/// A resource by its names.
pub const fn gvr(group: &'static str, version: &'static str, resource: &'static str) -> GroupVersionResource {
    GroupVersionResource::literal(group, version, resource)
}

/// One write of a part of the control plane.
#[derive(Clone)]
enum Operation {
    Create(Value),
    Update(Value),
    Finalize(Value),
    Scale(Value),
    Patch(PatchKind, Value),
    Delete(DeleteOptions),
}

impl Operation {
    /// Its verb, and all that it says.
    fn digest(&self, user: &UserInfo, target: &Target) -> Digest {
        let (verb, kind, said) = match self {
            Operation::Create(body) => ("create", None, body.to_string()),
            Operation::Update(body) => ("update", None, body.to_string()),
            Operation::Finalize(body) => ("finalize", None, body.to_string()),
            Operation::Scale(body) => ("scale", None, body.to_string()),
            Operation::Patch(kind, patch) => ("patch", Some(kind), patch.to_string()),
            Operation::Delete(options) => ("delete", None, options.to_object().to_string()),
        };
        let verb = format!("{verb} {kind:?}");
        let gvr = format!("{:?}", target.resource.gvr);
        let parts = [&user.name, &verb, &gvr, &target.namespace, &target.name, &target.subresource, &said];
        calls::digest(parts.map(String::as_bytes))
    }

    fn run(self, api: &mut ApiServer, write: &Write<'_>) -> Result<Arc<Value>> {
        match self {
            Operation::Create(body) => api.create(write, body),
            Operation::Update(body) => api.update(write, body),
            Operation::Finalize(body) => strategy::subresource::finalize(api, write, body),
            Operation::Scale(body) => scale::update(api, write, &body).map(Arc::new),
            Operation::Patch(kind, value) => api.patch(write, Patch { kind, value, strict: Vec::new() }),
            Operation::Delete(options) => api.delete(write.now, write.user, write.target, &options).map(Arc::new),
        }
    }
}

/// A write of a part of the control plane that waits for answers from outside. It is done when they are there; whoever asked
/// for it learns of it from the store, and of a refusal when it asks again.
pub(crate) struct Deferred {
    pub(crate) key: Digest,
    user: UserInfo,
    target: Target,
    options: WriteOptions,
    operation: Operation,
}

impl ApiServer {
    /// Does a write that had to wait, unless it has to wait for more.
    pub(crate) fn write_deferred(&mut self, now: Time, write: Box<Deferred>) -> Option<Box<Deferred>> {
        let Deferred { user, target, options, operation, .. } = &*write;
        self.causes.part(&user.name, "update");
        let result = operation.clone().run(self, &Write { now, user, target, options });
        if self.calls.are_wanted() {
            return Some(write);
        }
        if let Err(error) = result {
            self.refuse_deferred(write.key, error);
        }
        None
    }
}

/// The API as one user sees it at one time.
pub struct Client<'a> {
    api: &'a mut ApiServer,
    now: Time,
    user: &'a UserInfo,
    /// Whose fields these are, where that does not follow from the user.
    manager: Option<&'static str>,
}

impl<'a> Client<'a> {
    pub(crate) fn new(api: &'a mut ApiServer, now: Time, user: &'a UserInfo) -> Self {
        Client { api, now, user, manager: None }
    }

    /// The same, as another field manager; what it applies it takes from others.
    pub fn managed_by(self, manager: &'static str) -> Self {
        Client { manager: Some(manager), ..self }
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
    pub fn get(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str) -> Result<Value> {
        let target = self.target(gvr, namespace, name, "")?;
        self.check("get", &target)?;
        self.api.get(&target)
    }

    /// Creates an object. Its name may be generated.
    pub fn create(&mut self, gvr: &GroupVersionResource, namespace: &str, object: Value) -> Result<Arc<Value>> {
        let target = self.target(gvr, namespace, "", "")?;
        let object = canonical(&target, object)?;
        self.write("create", target, Operation::Create(object))
    }

    /// Replaces an object. With a `resourceVersion` that is not the current one this is a conflict.
    pub fn update(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str, object: Value) -> Result<Arc<Value>> {
        let target = self.target(gvr, namespace, name, "")?;
        let object = canonical(&target, object)?;
        self.write("update", target, Operation::Update(object))
    }

    /// Replaces an object's status; everything else stays.
    pub fn update_status(
        &mut self,
        gvr: &GroupVersionResource,
        namespace: &str,
        name: &str,
        object: Value,
    ) -> Result<Arc<Value>> {
        let target = self.target(gvr, namespace, name, "status")?;
        let object = canonical(&target, object)?;
        self.write("update", target, Operation::Update(object))
    }

    /// Approves or denies a certificate request, which is done through a subresource of its own.
    pub fn update_approval(&mut self, gvr: &GroupVersionResource, name: &str, object: Value) -> Result<Arc<Value>> {
        let target = self.target(gvr, "", name, "approval")?;
        self.write("update", target, Operation::Update(object))
    }

    /// Takes finalizers from a Namespace's spec, which is done through a subresource of its own.
    pub fn finalize(&mut self, namespace: &str, object: Value) -> Result<Arc<Value>> {
        let target = self.target(&gvr("", "v1", "namespaces"), "", namespace, "finalize")?;
        self.write("update", target, Operation::Finalize(object))
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
    ) -> Result<Arc<Value>> {
        let target = self.target(gvr, namespace, name, subresource)?;
        self.write("patch", target, Operation::Patch(kind, patch))
    }

    /// The Scale of an object.
    pub fn scale(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str) -> Result<Value> {
        let target = self.target(gvr, namespace, name, "scale")?;
        if target.resource.subresource("scale").is_none() {
            return Err(ApiError::new(404, Reason::NotFound, "the server could not find the requested resource"));
        }
        self.check("get", &target)?;
        scale::get(self.api, &target)
    }

    /// Replaces the Scale of an object.
    pub fn update_scale(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str, scale: Value) -> Result<Arc<Value>> {
        let target = self.target(gvr, namespace, name, "scale")?;
        self.write("update", target, Operation::Scale(scale))
    }

    /// What another server answers to a GET of this path (`/apis/GROUP/VERSION/…`). It is asked, which takes a while: until
    /// then the error is [pending](ApiError::is_pending).
    pub fn fetch(&mut self, path: &str) -> Result<Value> {
        let route = Route::parse(path);
        let query = Query::parse(path);
        let verb = route.verb("GET", &query);
        let asked = route.attributes(&verb, &[]);
        auth::check(self.api, self.user, &asked)?;
        let (resource, group) = (asked.resource.to_owned(), asked.group.to_owned());
        aggregation::fetch(self.api, self.now, self.user, path).unwrap_or_else(|| {
            let message = format!("the server could not find the requested resource (get {resource}.{group})");
            Err(ApiError::new(404, Reason::NotFound, message))
        })
    }

    /// Posts to a subresource: `binding`, `eviction`.
    pub fn create_subresource(
        &mut self,
        gvr: &GroupVersionResource,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: Value,
    ) -> Result<Arc<Value>> {
        let target = self.target(gvr, namespace, name, subresource)?;
        self.write("create", target, Operation::Create(body))
    }

    /// A token of this account for a Secret to hold, signed with the key that kube-controller-manager would be given.
    pub fn secret_token(&self, account: &store::Object, secret: &str) -> String {
        auth::token::for_secret(self.api, account, secret)
    }

    /// Asks for the deletion of an object.
    pub fn delete(&mut self, gvr: &GroupVersionResource, namespace: &str, name: &str, options: &DeleteOptions) -> Result<()> {
        let target = self.target(gvr, namespace, name, "")?;
        self.write("delete", target, Operation::Delete(options.clone())).map(drop)
    }

    /// Writes, if the user may. What has to wait for an answer from outside is done later by itself.
    fn write(&mut self, verb: &str, target: Target, operation: Operation) -> Result<Arc<Value>> {
        let result = self.try_write(verb, target, operation);
        if let Err(error) = &result
            && !error.is_pending()
        {
            self.api.metrics.refused(&self.user.name, error.code);
        }
        result
    }

    fn try_write(&mut self, verb: &str, target: Target, operation: Operation) -> Result<Arc<Value>> {
        self.check(verb, &target)?;
        self.api.causes.part(&self.user.name, verb);
        let options = self.options();
        let (now, user) = (self.now, self.user);
        let write = Write { now, user, target: &target, options: &options };
        if !self.api.may_ask() {
            return operation.run(self.api, &write);
        }
        let key = operation.digest(user, &target);
        if self.api.calls.is_deferred(&key) {
            return Err(ApiError::pending());
        }
        if let Some(refusal) = self.api.calls.take_refusal(&key) {
            return Err(refusal);
        }
        let rng = self.api.rng.clone();
        let result = operation.clone().run(self.api, &write);
        if self.api.calls.are_wanted() {
            let deferred = Deferred { key, user: user.clone(), target, options, operation };
            self.api.park(Work::Write(Box::new(deferred)), now, rng);
            return Err(ApiError::pending());
        }
        result
    }

    fn check(&mut self, verb: &str, target: &Target) -> Result<()> {
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
        let result = auth::check(self.api, self.user, &wanted);
        if let Err(error) = &result {
            self.api.metrics.denied(&error.message);
        }
        result
    }

    fn target(&self, gvr: &GroupVersionResource, namespace: &str, name: &str, subresource: &str) -> Result<Target> {
        Ok(Target::new(self.api.resource(gvr)?, namespace, name, subresource))
    }

    /// Parts of the control plane are their own field managers, under their user's last name.
    fn options(&self) -> WriteOptions {
        if let Some(manager) = self.manager {
            return WriteOptions { field_manager: manager.to_owned(), force: true, ..WriteOptions::default() };
        }
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
