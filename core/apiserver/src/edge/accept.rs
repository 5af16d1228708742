//! Which form of an answer a client accepts.

use object::{ApiError, Reason, Result, Value};

/// What stands in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// The object itself.
    Object,
    /// `meta.k8s.io/v1` Table.
    Table,
    /// `meta.k8s.io/v1` PartialObjectMetadata, or its list.
    Partial,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// One negotiated answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accept {
    /// What.
    pub form: Form,
    /// How.
    pub encoding: Encoding,
    /// Whether tables and partial objects are to be those of `meta.k8s.io/v1beta1`, which differ in name only.
    pub beta: bool,
}

impl Accept {
    /// Takes the first form that is spoken here, in the client's order. Nothing said means JSON.
    pub fn negotiate(header: &str) -> Result<Self> {
        let plain = Accept { form: Form::Object, encoding: Encoding::Json, beta: false };
        if header.trim().is_empty() {
            return Ok(plain);
        }
        let mut typed_json = false;
        for range in header.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let parameters: Vec<(&str, &str)> = parts.filter_map(|p| p.split_once('=')).collect();
            let parameter = |name: &str| parameters.iter().find(|(k, _)| *k == name).map(|(_, v)| *v);
            let encoding = match media {
                "application/json" | "*/*" | "application/*" => Encoding::Json,
                "application/yaml" => Encoding::Yaml,
                _ => continue,
            };
            typed_json = true;
            let known_group =
                parameter("g").is_none_or(|g| g == "meta.k8s.io") && parameter("v").is_none_or(|v| matches!(v, "v1" | "v1beta1"));
            let form = match parameter("as") {
                None => Form::Object,
                Some("Table") if known_group => Form::Table,
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") if known_group => Form::Partial,
                Some(_) => continue,
            };
            let beta = form != Form::Object && parameter("v") == Some("v1beta1");
            return Ok(Accept { form, encoding, beta });
        }
        let mut error = not_acceptable();
        if !typed_json {
            error.message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                application/vnd.kubernetes.protobuf, application/json;stream=watch, \
                application/vnd.kubernetes.protobuf;stream=watch"
                .to_owned();
        }
        Err(error)
    }

    /// Reviews and bindings have neither tables nor metadata of their own to show.
    pub fn whole_objects_only(self) -> Result<Self> {
        if self.form == Form::Object { Ok(self) } else { Err(not_acceptable()) }
    }

    /// Names a table, or a partial object, as it was asked for.
    pub fn name(self, shown: &mut Value) {
        if !self.beta {
            return;
        }
        object::value::set(shown, &["apiVersion"], "meta.k8s.io/v1beta1");
        for row in shown.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten() {
            if object::value::str_at(row, &["object", "kind"]) == "PartialObjectMetadata" {
                object::value::set(row, &["object", "apiVersion"], "meta.k8s.io/v1beta1");
            }
        }
    }

    /// `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        match self.encoding {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
        }
    }
}

fn not_acceptable() -> Box<ApiError> {
    ApiError::new(
        406,
        Reason::NotAcceptable,
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_form_wins() {
        let form = |header: &str| Accept::negotiate(header).map(|a| (a.form, a.encoding)).map_err(|e| e.code);
        assert_eq!(form(""), Ok((Form::Object, Encoding::Json)));
        assert_eq!(form("application/vnd.kubernetes.protobuf,application/json"), Ok((Form::Object, Encoding::Json)));
        assert_eq!(form("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), Ok((Form::Table, Encoding::Json)));
        assert_eq!(form("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"), Ok((Form::Table, Encoding::Json)));
        assert_eq!(form("application/json;as=Table;v=v2;g=meta.k8s.io,application/json"), Ok((Form::Object, Encoding::Json)));
        assert_eq!(form("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"), Ok((Form::Partial, Encoding::Json)));
        assert_eq!(form("text/plain, */*;q=0.1"), Ok((Form::Object, Encoding::Json)));
        assert_eq!(form("application/yaml"), Ok((Form::Object, Encoding::Yaml)));
        assert_eq!(form("text/plain"), Err(406));
        assert_eq!(form("application/json;as=Nonsense;v=v1;g=meta.k8s.io"), Err(406));
    }
}
