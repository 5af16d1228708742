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
use store::{Key, Object};

use crate::server::ApiServer;
pub use mutating::mutate;
pub use validating::validate;

const GROUP: &str = "admissionregistration.k8s.io";

/// Bindings of one policy, each with what it states.
type Bindings = Vec<(Arc<Object>, Value)>;

/// The policies of a kind that are bound, by name, each with its bindings by name.
fn bound(api: &ApiServer, policies: &str, bindings: &str) -> Vec<(Arc<Object>, Bindings)> {
    let mut of_policy: BTreeMap<String, Bindings> = BTreeMap::new();
    for binding in api.store.list(&GroupResource::new(GROUP, bindings), None) {
        let stated = binding.value();
        of_policy.entry(str_at(&stated, &["spec", "policyName"]).to_owned()).or_default().push((binding.clone(), stated));
    }
    let policies = GroupResource::new(GROUP, policies);
    let found = |(name, bindings): (String, _)| Some((api.store.get(&Key::new(&policies, "", &name))?.clone(), bindings));
    of_policy.into_iter().filter_map(found).collect()
}
