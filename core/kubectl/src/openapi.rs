//! The server's OpenAPI v3 documents: what `explain` prints and what `apply` must know of lists.

use object::Value;
use object::value::{at, list_at, str_at};

use crate::discovery::Mapping;
use crate::{Kubectl, Result};

/// The document of one group and version.
pub(crate) struct Document(Value);

/// A schema in a document.
#[derive(Clone, Copy)]
pub(crate) struct Schema<'a> {
    document: &'a Value,
    /// As it stands in its parent: carries the description and the extensions of a field.
    pub node: &'a Value,
}

impl Kubectl<'_> {
    /// The document that describes a resource; `None` if the server has none.
    pub(crate) async fn openapi(&self, mapping: &Mapping) -> Result<Option<Document>> {
        let Some(index) = self.find("/openapi/v3").await? else { return Ok(None) };
        let key =
            if mapping.group.is_empty() { format!("api/{}", mapping.version) } else { format!("apis/{}", mapping.api_version()) };
        let target = str_at(&index, &["paths", &key, "serverRelativeURL"]);
        if target.is_empty() {
            return Ok(None);
        }
        Ok(self.find(target).await?.map(Document))
    }
}

impl Document {
    /// The schema of a kind.
    pub(crate) fn kind(&self, mapping: &Mapping) -> Option<Schema<'_>> {
        let schemas = at(&self.0, &["components", "schemas"])?.as_object()?;
        let is = |schema: &&Value| {
            list_at(schema, &["x-kubernetes-group-version-kind"]).iter().any(|gvk| {
                str_at(gvk, &["group"]) == mapping.group
                    && str_at(gvk, &["version"]) == mapping.version
                    && str_at(gvk, &["kind"]) == mapping.kind
            })
        };
        schemas.values().find(is).map(|node| Schema { document: &self.0, node })
    }
}

impl<'a> Schema<'a> {
    fn with(self, node: &'a Value) -> Self {
        Schema { node, ..self }
    }

    /// Follows references (a bounded number of them) to the schema that says what the type is.
    pub(crate) fn resolved(self) -> Schema<'a> {
        let mut here = self;
        for _ in 0..8 {
            let reference =
                here.node.get("$ref").or_else(|| at(here.node, &["allOf"])?.get(0)?.get("$ref")).and_then(Value::as_str);
            let Some(name) = reference.and_then(|r| r.strip_prefix("#/components/schemas/")) else { return here };
            match at(here.document, &["components", "schemas", name]) {
                Some(node) => here = here.with(node),
                None => return here,
            }
        }
        here
    }

    /// Name of the type referred to (`PodSpec`), empty for none.
    pub(crate) fn reference(self) -> &'a str {
        let reference = self.node.get("$ref").or_else(|| at(self.node, &["allOf"])?.get(0)?.get("$ref")).and_then(Value::as_str);
        reference.and_then(|r| r.rsplit('.').next()).unwrap_or("")
    }

    /// A field.
    pub(crate) fn field(self, name: &str) -> Option<Schema<'a>> {
        let resolved = self.resolved();
        resolved.node.get("properties")?.get(name).map(|n| resolved.with(n))
    }

    /// All fields, sorted.
    pub(crate) fn fields(self) -> Vec<(&'a str, Schema<'a>)> {
        let resolved = self.resolved();
        let map = resolved.node.get("properties").and_then(Value::as_object);
        map.into_iter().flatten().map(|(k, n)| (k.as_str(), resolved.with(n))).collect()
    }

    /// What a list holds.
    pub(crate) fn items(self) -> Option<Schema<'a>> {
        let resolved = self.resolved();
        resolved.node.get("items").map(|n| resolved.with(n))
    }

    /// What a map holds.
    pub(crate) fn values(self) -> Option<Schema<'a>> {
        let resolved = self.resolved();
        resolved.node.get("additionalProperties").filter(|n| n.is_object()).map(|n| resolved.with(n))
    }

    /// An extension or other text of the field, `""` if it has none.
    pub(crate) fn text(self, key: &str) -> &'a str {
        str_at(self.node, &[key])
    }

    /// Names of the fields that must be there.
    pub(crate) fn required(self) -> &'a [Value] {
        list_at(self.resolved().node, &["required"])
    }
}
