//! RuntimeClass: pods get the overhead and the scheduling of the class they name.
//!
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-overhead/>

use object::value::{self, at, list_at, str_at};
use object::{GroupResource, Result, Value};
use store::Key;

use super::{Attributes, Operation};
use crate::server::ApiServer;

/// Fills in what the class says.
pub fn mutate(api: &mut ApiServer, attributes: &Attributes<'_>, pod: &mut Value) -> Result<()> {
    if !attributes.is("", "pods") || attributes.operation != Operation::Create {
        return Ok(());
    }
    let named = str_at(pod, &["spec", "runtimeClassName"]).to_owned();
    if named.is_empty() {
        if at(pod, &["spec", "overhead"]).is_some() {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return Err(attributes.forbidden(why));
        }
        return Ok(());
    }
    let key = Key::new(&GroupResource::literal("node.k8s.io", "runtimeclasses"), "", &named);
    let Some(class) = api.store.get(&key).map(|class| class.value()) else {
        let why = format!("pod rejected: RuntimeClass {named:?} not found");
        return Err(attributes.forbidden(&why));
    };
    overhead(attributes, &class, pod)?;
    scheduling(attributes, &class, pod)
}

fn overhead(attributes: &Attributes<'_>, class: &Value, pod: &mut Value) -> Result<()> {
    let said = at(pod, &["spec", "overhead"]).cloned();
    match (at(class, &["overhead", "podFixed"]), said) {
        (None, None) => {}
        (Some(fixed), None) => value::set(pod, &["spec", "overhead"], fixed.clone()),
        (Some(fixed), Some(said)) if *fixed == said => {}
        (Some(_), Some(_)) => {
            return Err(attributes.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
        }
        (None, Some(_)) => {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return Err(attributes.forbidden(why));
        }
    }
    Ok(())
}

fn scheduling(attributes: &Attributes<'_>, class: &Value, pod: &mut Value) -> Result<()> {
    let wanted = at(class, &["scheduling", "nodeSelector"]).and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, text) in wanted {
        let said = str_at(pod, &["spec", "nodeSelector", &key]);
        if !said.is_empty() && Some(said) != text.as_str() {
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {said}",
                text.as_str().unwrap_or_default()
            );
            return Err(attributes.forbidden(&why));
        }
        value::object_at(pod, &["spec", "nodeSelector"]).insert(key, text);
    }
    let mut tolerations = list_at(pod, &["spec", "tolerations"]).to_vec();
    let more: Vec<Value> =
        list_at(class, &["scheduling", "tolerations"]).iter().filter(|t| !tolerations.contains(t)).cloned().collect();
    if !more.is_empty() {
        tolerations.extend(more);
        value::set(pod, &["spec", "tolerations"], tolerations);
    }
    Ok(())
}
