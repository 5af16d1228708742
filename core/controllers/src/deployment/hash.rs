//! The hash of a pod template, by which Kubernetes names ReplicaSets (`controller.ComputeHash`): FNV-1a of the template as Go's
//! debug printer writes it. With the same names, ReplicaSets that another control plane made are found again.

use object::order::Order as _;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use object::Value;
use object::rng::safe_encode;
use object::syntax::json_name;
use object::value::at;

const TABLE: &str = include_str!("go_types.txt");

/// One field of a Go struct.
struct Field {
    name: &'static str,
    key: String,
    /// Its type without the package v1; empty for an embedded struct, whose type is the field's name.
    ty: &'static str,
}

fn types() -> &'static BTreeMap<&'static str, Vec<Field>> {
    static TYPES: OnceLock<BTreeMap<&'static str, Vec<Field>>> = OnceLock::new();
    TYPES.get_or_init(|| {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.split_once(' '))
            .map(|(name, fields)| (name, fields.split(' ').map(field).collect()))
            .collect()
    })
}

fn field(text: &'static str) -> Field {
    if let Some(name) = text.strip_prefix('+') {
        return Field { name, key: String::new(), ty: "" };
    }
    let (said, ty) = text.split_once(':').unwrap_or((text, "string"));
    let (name, key) = said.split_once('@').map_or_else(|| (said, json_name(said)), |(name, key)| (name, key.to_owned()));
    Field { name, key, ty }
}

/// The hash of a template, mixed with the count of collisions if there were any.
pub fn template_hash(template: &Value, collisions: Option<i64>) -> String {
    let mut bytes = printed(template).into_bytes();
    if let Some(count) = collisions.and_then(|count| u32::try_from(count).ok()) {
        // Eight bytes, of which Kubernetes fills four.
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
    }
    let hash = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    safe_encode(&hash.to_string())
}

/// The template in the form in which it is hashed.
fn printed(template: &Value) -> String {
    let text = |key: &str| at(template, &["metadata", key]).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut out = String::with_capacity(4096);
    out += "(v1.PodTemplateSpec){ObjectMeta:(v1.ObjectMeta){Name:(string)";
    out += &text("name");
    out += " GenerateName:(string)";
    out += &text("generateName");
    out += " Namespace:(string)";
    out += &text("namespace");
    out += " SelfLink:(string) UID:(types.UID) ResourceVersion:(string) Generation:(int64)0 CreationTimestamp:(v1.Time){Time:\
            (time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}} DeletionTimestamp:(*v1.Time)<nil> \
            DeletionGracePeriodSeconds:(*int64)<nil> Labels:";
    typed("map[string]string", at(template, &["metadata", "labels"]), &mut out);
    out += " Annotations:";
    typed("map[string]string", at(template, &["metadata", "annotations"]), &mut out);
    out += " OwnerReferences:([]v1.OwnerReference)<nil> Finalizers:";
    typed("[]string", at(template, &["metadata", "finalizers"]), &mut out);
    out += " ManagedFields:([]v1.ManagedFieldsEntry)<nil>} Spec:";
    typed("PodSpec", Some(template.get("spec").unwrap_or(&Value::Null)), &mut out);
    out.push('}');
    out
}

/// The base of a type: what is behind its pointers and lists.
fn split(ty: &str) -> (&str, &str) {
    let base = ty.trim_start_matches("[]").trim_start_matches('*');
    (&ty[..ty.len() - base.len()], base)
}

/// A value with its type before it.
fn typed(ty: &'static str, value: Option<&Value>, out: &mut String) {
    let (prefix, base) = split(ty);
    let package = if base.starts_with(|c: char| c.is_ascii_uppercase()) { "v1." } else { "" };
    out.push('(');
    let is_set = value.is_some_and(|value| !value.is_null());
    // A pointer that is set shows the type of what it points to, with a star for each step.
    for part in [prefix, package, base] {
        out.push_str(part);
    }
    out.push(')');
    let nilable = !prefix.is_empty() || base.starts_with("map[") || base == "ResourceList";
    match value.filter(|_| is_set) {
        None if nilable => out.push_str("<nil>"),
        value => bare(prefix, base, value.unwrap_or(&Value::Null), out),
    }
}

/// A value without its type.
fn bare(prefix: &str, base: &'static str, value: &Value, out: &mut String) {
    if prefix.starts_with("[]") {
        out.push('[');
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            out.push_str(if i > 0 { " " } else { "" });
            bare(prefix.trim_start_matches("[]"), base, item, out);
        }
        out.push(']');
        return;
    }
    match base {
        "map[string]string" | "ResourceList" => {
            out.push_str("map[");
            let mut entries: Vec<_> = value.as_object().into_iter().flatten().collect();
            entries.order_by_key(|(key, _)| *key);
            for (i, (key, value)) in entries.into_iter().enumerate() {
                out.push_str(if i > 0 { " " } else { "" });
                out.push_str(key);
                out.push(':');
                bare("", if base == "ResourceList" { "resource.Quantity" } else { "string" }, value, out);
            }
            out.push(']');
        }
        "resource.Quantity" => quantity(value, out),
        "intstr.IntOrString" => {
            let text = value.as_str();
            let number = value.as_i64().unwrap_or(0);
            let kind = u8::from(text.is_some());
            out.push_str(&format!(
                "{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){}}}",
                text.unwrap_or_default()
            ));
        }
        "bool" => out.push_str(if value.as_bool().unwrap_or(false) { "true" } else { "false" }),
        "int32" | "int64" => out.push_str(&value.as_i64().unwrap_or(0).to_string()),
        base => match types().get(base) {
            Some(fields) => structure(fields, value, out),
            None => out.push_str(value.as_str().unwrap_or_default()),
        },
    }
}

fn structure(fields: &'static [Field], value: &Value, out: &mut String) {
    out.push('{');
    for (i, field) in fields.iter().enumerate() {
        out.push_str(if i > 0 { " " } else { "" });
        out.push_str(field.name);
        out.push(':');
        if field.ty.is_empty() {
            typed(field.name, Some(value), out);
        } else {
            let given = value.get(&field.key);
            // Go drops lists and maps that are empty on the way through the wire.
            let is_empty = given.is_some_and(|given| given.as_array().is_some_and(Vec::is_empty))
                || given.and_then(Value::as_object).is_some_and(|map| map.is_empty() && field.ty.contains("map["));
            typed(field.ty, given.filter(|_| !is_empty), out);
        }
    }
    out.push('}');
}

/// `resource.Quantity` as it is after parsing its canonical text: a number, the power of ten it is of, and its format.
fn quantity(value: &Value, out: &mut String) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &text[digits.len()..];
    let whole: i64 = digits.replace('.', "").parse().unwrap_or(0);
    let places = digits.split_once('.').map_or(0, |(_, places)| i64::try_from(places.len()).unwrap_or(0));
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|known| *known == suffix);
    let decimal = [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    let (number, scale, format) = match binary {
        Some(power) => (whole.saturating_mul(1_i64.checked_shl(10 * (power as u32 + 1)).unwrap_or(i64::MAX)), 0, "BinarySI"),
        None => {
            let scale = decimal.iter().find(|(known, _)| *known == suffix).map_or(0, |(_, scale)| *scale);
            (whole, scale - places, "DecimalSI")
        }
    };
    let format = if text == "0" { "" } else { format };
    out.push_str(&format!(
        "{{i:(resource.int64Amount){{value:(int64){number} scale:(resource.Scale){scale}}} \
         d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){text} Format:(resource.Format){format}}}"
    ));
}

#[cfg(test)]
mod tests {
    use object::json;

    use super::*;

    fn template(image: &str) -> Value {
        let container = json!({
            "name": "c", "image": image, "imagePullPolicy": "IfNotPresent", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        });
        let spec = json!({
            "containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "none",
            "securityContext": {}, "terminationGracePeriodSeconds": 30,
        });
        json!({"metadata": {"labels": {"app": "d"}}, "spec": spec})
    }

    /// The hashes that kube-controller-manager gave to these templates.
    #[test]
    fn templates_have_the_hashes_that_kubernetes_gives_them() {
        assert_eq!(template_hash(&template("img:1"), None), "69ffd95dfc");
        let mut labelled = template("img:1");
        labelled["metadata"]["labels"]["v"] = "2".into();
        assert_eq!(template_hash(&labelled, None), "6c4ddb659f");
    }

    #[test]
    fn every_field_of_a_pod_changes_the_hash() {
        let plain = template_hash(&template("i"), None);
        for (path, value) in [
            ("/spec/volumes", json!([{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}])),
            (
                "/spec/affinity",
                json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}]}}),
            ),
            ("/spec/tolerations", json!([{"key": "k", "operator": "Exists"}])),
            ("/spec/hostNetwork", json!(true)),
            ("/spec/containers/0/resources", json!({"limits": {"cpu": "100m", "memory": "64Mi"}})),
            ("/spec/containers/0/livenessProbe", json!({"httpGet": {"port": "http"}, "periodSeconds": 10})),
            ("/spec/containers/0/env", json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}])),
        ] {
            let mut changed = template("i");
            let (parent, key) = path.rsplit_once('/').expect("a path");
            changed.pointer_mut(parent).expect("a place")[key] = value;
            assert_ne!(template_hash(&changed, None), plain, "{path}");
        }
        assert_ne!(template_hash(&template("i"), Some(1)), plain);
    }
}
