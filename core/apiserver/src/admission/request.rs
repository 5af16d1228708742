//! A request as webhooks and policies are told of it: `admission.k8s.io/v1` AdmissionRequest, but for the objects;
//! and what is done with an object that they changed.

use object::value::str_at;
use object::{ApiError, Result, Value, json};
use schema::Resource;

use super::{Attributes, Operation};
use crate::server::ApiServer;

impl Attributes<'_> {
    /// An object of `resource`'s version that somebody changed, decoded, defaulted, and in the form that admission works on.
    pub(super) fn decoded(&self, api: &mut ApiServer, resource: &Resource, changed: Value) -> Result<Value> {
        let decoded = schema::decode::resource_from_value(resource, changed);
        let mut changed = decoded.map_err(ApiError::internal)?.object;
        schema::default::default(resource, &mut changed);
        let own = &self.target.resource;
        if own.custom.is_some() { api.in_version_of(own, changed) } else { api.in_storage_version(resource, changed) }
    }

    /// What is told of this request to those who look at it as one on `resource`.
    pub(super) fn described(&self, object: &Value, resource: &Resource) -> Value {
        let (own, target) = (&self.target.resource, self.target);
        let kind = |resource: &Resource| {
            let kind = match resource.subresource(&target.subresource) {
                Some(subresource) => subresource.gvk(&resource.gvr),
                None => resource.kind.clone(),
            };
            json!({"group": &*kind.group, "version": &*kind.version, "kind": &*kind.kind})
        };
        let gvr = |resource: &Resource| {
            let gvr = &resource.gvr;
            json!({"group": &*gvr.group, "version": &*gvr.version, "resource": &*gvr.resource})
        };
        let mut request = json!({
            "kind": kind(resource), "resource": gvr(resource), "requestKind": kind(own), "requestResource": gvr(own),
            "operation": self.operation.as_str(), "userInfo": crate::strategy::review::user_info(self.user),
            "dryRun": self.is_dry_run(), "options": self.options_object(),
        });
        let mut say = |key: &str, text: &str| {
            if !text.is_empty() {
                request[key] = text.into();
            }
        };
        say("subResource", &target.subresource);
        say("requestSubResource", &target.subresource);
        // The name of an object that is being made may not have been given yet.
        let new = self.operation == Operation::Create && !object.is_null();
        let name = if new { str_at(object, &["metadata", "name"]) } else { self.name };
        say("name", name);
        say("namespace", if self.is_part_of("", "namespaces") { name } else { &target.namespace });
        request
    }
}
