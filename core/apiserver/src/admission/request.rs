//! A request as webhooks and policies are told of it: `admission.k8s.io/v1` AdmissionRequest, but for the objects.

use object::value::str_at;
use object::{Value, json};
use schema::Resource;

use super::{Attributes, Operation};

impl Attributes<'_> {
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
