//! Policies: rules in CEL that a cluster's operators write, put to work by bindings.
//!
//! `expressions` knows what expressions see and what they may spend, `params` what a binding gives them; `validating` judges
//! with them, `mutating` changes with them. Webhooks use the same conditions.
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

pub(super) mod expressions;
mod mutating;
mod params;
mod patches;
pub(crate) mod rights;
mod validating;

use std::collections::BTreeMap;
use std::sync::Arc;

use object::value::str_at;
use object::{GroupResource, Value};
use store::{Key, Object, View};

use crate::server::ApiServer;
pub use mutating::mutate;
pub use validating::validate;

const GROUP: &str = "admissionregistration.k8s.io";

/// What an object says, read once per version of it.
struct Stated(Value);

impl View for Stated {
    fn of(object: &Value) -> Self {
        Stated(object.clone())
    }
}

impl Stated {
    fn of_object(object: &Object) -> &Value {
        &object.view::<Stated>().0
    }
}

/// The policies of a kind that are bound, by name, each with its bindings by name.
fn bound(api: &ApiServer, policies: &str, bindings: &str) -> Vec<(Arc<Object>, Vec<Arc<Object>>)> {
    let mut of_policy: BTreeMap<&str, Vec<Arc<Object>>> = BTreeMap::new();
    for binding in api.store.list(&GroupResource::new(GROUP, bindings), None) {
        let name = str_at(Stated::of_object(binding), &["spec", "policyName"]);
        of_policy.entry(name).or_default().push(binding.clone());
    }
    let policies = GroupResource::new(GROUP, policies);
    let found = |(name, bindings): (&str, _)| Some((api.store.get(&Key::new(&policies, "", name))?.clone(), bindings));
    of_policy.into_iter().filter_map(found).collect()
}
