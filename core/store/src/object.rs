//! A stored object: its bytes, the decoded metadata, and views that are computed when first asked for.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use object::{Bytes, GroupResource, ObjectMeta, Value};

use crate::young::Young;

/// The name under which an object is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its resource, whatever the version.
    pub resource: GroupResource,
    /// Its namespace; empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Key {
    /// From its parts.
    pub fn new(resource: &GroupResource, namespace: &str, name: &str) -> Self {
        Key { resource: resource.clone(), namespace: namespace.into(), name: name.into() }
    }
}

/// What some part of the system reads of an object, computed from its JSON once and then shared.
pub trait View: Any + Send + Sync {
    /// Reads the object. What is missing is left at its default: the schema has refused malformed objects long before.
    fn of(object: &Value) -> Self;
}

/// An object as it was at one revision. Shared as `Arc<Object>` and never changed.
pub struct Object {
    /// Where it is stored.
    pub key: Key,
    /// The revision that made it so: its `resourceVersion`.
    pub revision: u64,
    /// Canonical form: compact JSON that begins with `apiVersion` and `kind`, `metadata.resourceVersion` included.
    pub bytes: Bytes,
    /// Decoded metadata.
    pub meta: ObjectMeta,
    header: u32,
    views: Views,
    /// The value that it was made from, while it is young: most of what reads it does so right after its commit.
    young: Young,
}

impl Object {
    /// An object of this value, which carries this revision already.
    pub fn new(key: Key, revision: u64, value: &Value) -> Self {
        let (bytes, header) = canonical(value);
        Object { key, revision, bytes, meta: ObjectMeta::of(value), header, views: Views::default(), young: Young::default() }
    }

    /// As [`Object::new`]; the value is kept until [`Object::age`].
    pub(crate) fn young(key: Key, revision: u64, value: Arc<Value>) -> Self {
        let object = Object::new(key, revision, &value);
        Object { young: Young::of(value), ..object }
    }

    /// From now on only the bytes and the views are kept.
    pub(crate) fn age(&self) {
        self.young.let_go();
    }

    /// The object without its opening brace, `apiVersion` and `kind`: what follows `{` where it is an item of a typed
    /// list, and what follows another version's header where only that differs.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.header as usize..).unwrap_or_default()
    }

    /// The whole object, parsed, to be changed. Costly: a view is parsed only once.
    pub fn value(&self) -> Value {
        Arc::unwrap_or_clone(self.shared())
    }

    /// The whole object, parsed, to read. It costs nothing right after the commit.
    pub fn shared(&self) -> Arc<Value> {
        // Stored bytes were written by this program from a JSON value.
        self.young.get().unwrap_or_else(|| Arc::new(serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)))
    }

    /// The view `T` of this object, computed at the first call.
    pub fn view<T: View>(&self) -> &T {
        self.views.get_or_insert(|| T::of(&self.shared()))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("key", &self.key).field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// Writes `{"apiVersion":…,"kind":…,` and then everything else in order; returns the length of the first part.
fn canonical(value: &Value) -> (Bytes, u32) {
    let text = |key: &str| value.get(key).cloned().unwrap_or_else(|| Value::from(""));
    let mut out = format!("{{\"apiVersion\":{},\"kind\":{},", text("apiVersion"), text("kind")).into_bytes();
    let header = u32::try_from(out.len()).unwrap_or_default();
    let rest = value.as_object().into_iter().flatten().filter(|(key, _)| *key != "apiVersion" && *key != "kind");
    for (i, (key, value)) in rest.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        // Writing plain data to a vector cannot fail.
        let _ = serde_json::to_writer(&mut out, key);
        out.push(b':');
        let _ = serde_json::to_writer(&mut out, value);
    }
    out.push(b'}');
    (out.into(), header)
}

/// Views by type. Few objects have more than one, so a list is enough; nodes are only ever added.
#[derive(Default)]
struct Views(OnceLock<Box<Slot>>);

struct Slot {
    view: Box<dyn Any + Send + Sync>,
    next: Views,
}

impl Views {
    fn get_or_insert<T: View>(&self, make: impl FnOnce() -> T) -> &T {
        let mut make = Some(make);
        let mut here = self;
        loop {
            let slot = here.0.get_or_init(|| {
                // `make` is there until it was used, and a slot made from it is of type `T`, which ends the loop.
                let view: Box<dyn Any + Send + Sync> = match make.take() {
                    Some(make) => Box::new(make()),
                    None => Box::new(()),
                };
                Box::new(Slot { view, next: Views::default() })
            });
            match slot.view.downcast_ref::<T>() {
                Some(view) => return view,
                None => here = &slot.next,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::json;

    struct Name(String);
    struct Kind(String);
    impl View for Name {
        fn of(o: &Value) -> Self {
            Name(o["metadata"]["name"].as_str().unwrap_or_default().to_owned())
        }
    }
    impl View for Kind {
        fn of(o: &Value) -> Self {
            Kind(o["kind"].as_str().unwrap_or_default().to_owned())
        }
    }

    #[test]
    fn views_of_several_types_live_beside_each_other() {
        let value = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        let key = Key::new(&GroupResource::literal("", "pods"), "default", "a");
        let object = Object::new(key, 1, &value);
        assert_eq!(object.body(), br#""metadata":{"name":"a"}}"#);
        assert_eq!(object.view::<Name>().0, "a");
        assert_eq!(object.view::<Kind>().0, "Pod");
        assert!(std::ptr::eq(object.view::<Name>(), object.view::<Name>()));
    }
}
