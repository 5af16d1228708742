//! Manifests: the objects in files and on standard input.

use object::Value;
use object::value::{at, list_at, str_at};

use crate::flags::Flags;
use crate::{Failure, Kubectl, Result};

/// An object and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub object: Value,
    pub source: String,
}

/// All documents of a text, JSON or YAML; booleans and octal numbers as YAML 1.1 has them, which is what Kubernetes reads.
pub(crate) fn parse(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).map_err(|e| e.to_string())?;
    Ok(documents.into_iter().filter(|d| !d.is_null()).collect())
}

impl Kubectl<'_> {
    /// The objects that `-f` names; lists are opened.
    pub(crate) async fn manifests(&self, flags: &Flags) -> Result<Vec<Manifest>> {
        if !flags.all("kustomize").is_empty() {
            return Err(Failure::new("kustomizations are not supported here: give the rendered files with -f"));
        }
        let mut out = Vec::new();
        for path in flags.list("filename") {
            if path == "-" {
                documents(&self.stdin, "STDIN", &mut out)?;
                continue;
            }
            let files = self.files.read(&path, flags.on("recursive")).await.map_err(Failure::new)?;
            for (name, bytes) in files {
                documents(&bytes, &name, &mut out)?;
            }
        }
        if out.is_empty() {
            return Err(Failure::new("no objects passed to ").trimmed());
        }
        Ok(out)
    }
}

impl Failure {
    fn trimmed(mut self) -> Self {
        self.message = self.message.trim_end().to_owned();
        self
    }
}

fn documents(bytes: &[u8], source: &str, out: &mut Vec<Manifest>) -> Result<()> {
    let text = std::str::from_utf8(bytes).map_err(|e| Failure::new(format!("error parsing {source}: {e}")))?;
    let parsed =
        parse(text).map_err(|e| Failure::new(format!("error parsing {source}: error converting YAML to JSON: yaml: {e}")))?;
    for object in parsed {
        if str_at(&object, &["kind"]).is_empty() {
            return Err(Failure::new(format!(
                "error validating {source:?}: error validating data: kind not set; if you choose to ignore these errors, turn validation off with --validate=false"
            )));
        }
        if str_at(&object, &["kind"]).ends_with("List") && at(&object, &["items"]).is_some_and(Value::is_array) {
            let items = list_at(&object, &["items"]).iter().cloned();
            out.extend(items.map(|object| Manifest { object, source: source.to_owned() }));
        } else {
            out.push(Manifest { object, source: source.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::json;

    #[test]
    fn reads_what_kubernetes_reads() {
        let text = "a: yes\nb: \"yes\"\nmode: 0644\nn: 1\n---\n---\n{\"x\": [1, null]}\n";
        assert_eq!(parse(text).unwrap(), [json!({"a": true, "b": "yes", "mode": 420, "n": 1}), json!({"x": [1, null]})]);
        assert!(parse("a: [").is_err());
    }
}
