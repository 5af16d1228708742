//! Which requests an operator's policy or webhook is meant for: rules on resources and operations, selectors of namespaces and
//! objects, and other versions of the same resource.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules>

use std::sync::Arc;

use object::selector::LabelSelector;
use object::value::{at, list_at, str_at};
use object::{GroupResource, GroupVersionResource, Value};
use schema::Resource;
use store::Key;

use super::{Attributes, Operation};
use crate::server::ApiServer;

impl Operation {
    /// Its name in rules and reviews.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

impl Attributes<'_> {
    /// The namespace of the request as it stands; of a write to a namespace, what it will be.
    fn namespace_object(&self, api: &ApiServer, object: &Value) -> Option<Value> {
        if self.is_part_of("", "namespaces") {
            let removed = || self.old.cloned().unwrap_or_default();
            return Some(if object.is_null() { removed() } else { object.clone() });
        }
        let key = Key::new(&GroupResource::literal("", "namespaces"), "", &self.target.namespace);
        api.store.get(&key).map(|namespace| namespace.value())
    }

    /// Whether `namespaceSelector` and `objectSelector` in `wanted` select this request. Cluster-scoped objects are in no
    /// namespace that could be left out; an object is selected if it was or will be.
    pub(super) fn selected(&self, api: &ApiServer, object: &Value, wanted: &Value) -> bool {
        let selector = |key: &str| {
            let selector = at(wanted, &[key]).and_then(|selector| LabelSelector::from_json(selector).ok());
            selector.filter(|selector| !selector.is_empty())
        };
        let selects = |selector: &LabelSelector, object: &Value| {
            selector.matches(&object::meta::string_map(at(object, &["metadata", "labels"])))
        };
        let scoped = !self.target.namespace.is_empty() || self.is_part_of("", "namespaces");
        if scoped
            && let Some(selector) = selector("namespaceSelector")
            && !self.namespace_object(api, object).is_some_and(|namespace| selects(&selector, &namespace))
        {
            return false;
        }
        let Some(selector) = selector("objectSelector") else { return true };
        let new = Some(object).filter(|object| !object.is_null());
        [new, self.old].into_iter().flatten().any(|object| selects(&selector, object))
    }

    /// The resource in whose version a policy's `matchConstraints`, or a binding's `matchResources`, mean this request.
    pub(super) fn meant(&self, api: &ApiServer, object: &Value, wanted: &Value) -> Option<Arc<Resource>> {
        if !self.selected(api, object, wanted) {
            return None;
        }
        let policy = str_at(wanted, &["matchPolicy"]);
        if self.matched_as(api, list_at(wanted, &["excludeResourceRules"]), policy).is_some() {
            return None;
        }
        match list_at(wanted, &["resourceRules"]) {
            [] => Some(self.target.resource.clone()),
            rules => self.matched_as(api, rules, policy),
        }
    }

    /// Whether a rule means this request, were it made on `gvr`.
    pub(super) fn rule_matches(&self, rule: &Value, gvr: &GroupVersionResource) -> bool {
        let target = self.target;
        let has = |key: &str, text: &str| list_at(rule, &[key]).iter().any(|entry| entry == "*" || entry == text);
        let names = list_at(rule, &["resourceNames"]);
        // A Namespace is in itself, as far as paths go, but it is no namespaced object.
        let scope = match str_at(rule, &["scope"]) {
            "Namespaced" => !target.namespace.is_empty(),
            "Cluster" => target.namespace.is_empty(),
            _ => true,
        };
        let resource = list_at(rule, &["resources"]).iter().filter_map(Value::as_str).any(|entry| {
            let (resource, subresource) = entry.split_once('/').unwrap_or((entry, ""));
            (resource == "*" || resource == &*gvr.resource) && (subresource == "*" || subresource == target.subresource)
        });
        scope
            && resource
            && has("apiGroups", &gvr.group)
            && has("apiVersions", &gvr.version)
            && has("operations", self.operation.as_str())
            && (names.is_empty() || names.iter().any(|name| name == self.name))
    }

    /// The resource in whose version `rules` mean this request: the request's own, or with `matchPolicy: Equivalent` another
    /// version of it.
    pub(super) fn matched_as(&self, api: &ApiServer, rules: &[Value], policy: &str) -> Option<Arc<Resource>> {
        let own = &self.target.resource;
        if rules.iter().any(|rule| self.rule_matches(rule, &own.gvr)) {
            return Some(own.clone());
        }
        if policy == "Exact" {
            return None;
        }
        let same = |other: &&Arc<Resource>| {
            other.storage.resource == own.storage.resource
                && other.gvr != own.gvr
                && (self.target.subresource.is_empty() || other.subresource(&self.target.subresource).is_some())
        };
        let matches = |other: &&Arc<Resource>| rules.iter().any(|rule| self.rule_matches(rule, &other.gvr));
        api.registry.resources().filter(same).find(matches).cloned()
    }
}
