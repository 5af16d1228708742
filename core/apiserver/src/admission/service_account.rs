//! ServiceAccount, its judgement: what mirror pods may refer to, and accounts whose pods get only the secrets they list.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>

use object::value::{at, list_at, str_at};
use object::{GroupResource, Result, Value};
use store::Key;

use super::{Attributes, Operation};
use crate::auth::node;
use crate::server::ApiServer;

const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Judges a new pod.
pub fn validate(api: &mut ApiServer, attributes: &Attributes<'_>, pod: &Value) -> Result<()> {
    if !attributes.is("", "pods") || attributes.operation != Operation::Create {
        return Ok(());
    }
    let why = match object::meta::annotation(pod, "kubernetes.io/config.mirror") {
        Some(_) => mirror(pod),
        None => {
            let name = str_at(pod, &["spec", "serviceAccountName"]);
            let key = Key::new(&GroupResource::literal("", "serviceaccounts"), &attributes.target.namespace, name);
            let account = api.store.get(&key).map(|account| account.value());
            account.filter(|account| is_true(object::meta::annotation(account, ENFORCE))).and_then(|a| unlisted(pod, &a))
        }
    };
    why.map_or(Ok(()), |why| Err(attributes.forbidden(&why)))
}

/// What Go reads as true.
fn is_true(text: Option<&str>) -> bool {
    matches!(text, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

fn mirror(pod: &Value) -> Option<String> {
    match node::referenced(pod) {
        Some("a service account") => return Some("a mirror pod may not reference service accounts".to_owned()),
        Some("secrets") => return Some("a mirror pod may not reference secrets".to_owned()),
        _ => {}
    }
    let token = |source: &Value| source.get("serviceAccountToken").is_some();
    let projected = list_at(pod, &["spec", "volumes"]).iter().any(|v| list_at(v, &["projected", "sources"]).iter().any(token));
    projected.then(|| "a mirror pod may not use ServiceAccountToken volume projections".to_owned())
}

/// The first secret of a pod that its account does not list.
fn unlisted(pod: &Value, account: &Value) -> Option<String> {
    let listed = |field: &str, name: &str| list_at(account, &[field]).iter().any(|entry| str_at(entry, &["name"]) == name);
    let account_name = str_at(account, &["metadata", "name"]);
    let why = format!("is not allowed because service account {account_name} does not reference that");
    for volume in list_at(pod, &["spec", "volumes"]) {
        let Some(secret) = at(volume, &["secret", "secretName"]).and_then(Value::as_str) else { continue };
        if !listed("secrets", secret) {
            return Some(format!("volume with secret.secretName={secret:?} {why} secret"));
        }
    }
    for (list, what) in [("initContainers", "init container"), ("containers", "container")] {
        for container in list_at(pod, &["spec", list]) {
            let name = str_at(container, &["name"]);
            for variable in list_at(container, &["env"]) {
                let Some(secret) = at(variable, &["valueFrom", "secretKeyRef", "name"]).and_then(Value::as_str) else { continue };
                if !listed("secrets", secret) {
                    let variable = str_at(variable, &["name"]);
                    return Some(format!(
                        "{what} {name} with envVar {variable} referencing secret.secretName={secret:?} {why} secret"
                    ));
                }
            }
        }
    }
    let pulls = list_at(pod, &["spec", "imagePullSecrets"]).iter().enumerate();
    let mut refused = pulls.filter(|(_, pull)| !listed("imagePullSecrets", str_at(pull, &["name"])));
    let (index, pull) = refused.next()?;
    Some(format!("imagePullSecrets[{index}].name={:?} {why} imagePullSecret", str_at(pull, &["name"])))
}
