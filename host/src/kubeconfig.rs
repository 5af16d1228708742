//! Kubeconfig files: the one this host writes for its administrator, and reading those kubectl would use.

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::client::Credentials;
use crate::pki::Pair;

/// Name of cluster and context in what we write.
const NAME: &str = "wasmkube";

/// A kubeconfig with everything embedded.
pub fn write(server: &str, authority: &str, user: &Pair) -> String {
    let encode = |pem: &str| STANDARD.encode(pem);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {NAME}
  cluster:
    server: {server}
    certificate-authority-data: {}
users:
- name: {NAME}-admin
  user:
    client-certificate-data: {}
    client-key-data: {}
contexts:
- name: {NAME}
  context:
    cluster: {NAME}
    user: {NAME}-admin
current-context: {NAME}
preferences: {{}}
",
        encode(authority),
        encode(&user.certificate),
        encode(&user.key)
    )
}

/// What a kubeconfig says about a context (`""`: the current one): how to reach the API, and the namespace to use.
pub fn read(text: &str, context: &str) -> Result<(Credentials, String)> {
    let config: Value = serde_saphyr::from_str(text).context("not a kubeconfig")?;
    let current = if context.is_empty() { string(&config, "current-context") } else { context.to_owned() };
    let context = named(&config, "contexts", "context", &current)?;
    let cluster = named(&config, "clusters", "cluster", &string(context, "cluster"))?;
    let user = named(&config, "users", "user", &string(context, "user"))?;
    let credentials = Credentials {
        server: string(cluster, "server"),
        ca: data_or_file(cluster, "certificate-authority")?,
        certificate: data_or_file(user, "client-certificate")?,
        key: data_or_file(user, "client-key")?,
        token: string(user, "token"),
    };
    let namespace = string(context, "namespace");
    Ok((credentials, if namespace.is_empty() { "default".to_owned() } else { namespace }))
}

fn string(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn named<'a>(config: &'a Value, list: &str, inner: &str, name: &str) -> Result<&'a Value> {
    let entries = config.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let found = entries.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
    found.and_then(|entry| entry.get(inner)).with_context(|| format!("the kubeconfig has no {inner} {name:?}"))
}

fn data_or_file(value: &Value, key: &str) -> Result<String> {
    let data = string(value, &format!("{key}-data"));
    if !data.is_empty() {
        let bytes = STANDARD.decode(&data).map_err(|error| anyhow!("{key}-data is not base64: {error}"))?;
        return String::from_utf8(bytes).with_context(|| format!("{key}-data is not PEM"));
    }
    let file = string(value, key);
    if file.is_empty() { Ok(file) } else { std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() -> Result<()> {
        let pair = Pair { certificate: "CERT".into(), key: "KEY".into() };
        let text = write("https://127.0.0.1:6443", "CA", &pair);
        let (credentials, namespace) = read(&text, "")?;
        assert_eq!(
            [credentials.server, credentials.ca, credentials.certificate, credentials.key, credentials.token, namespace],
            ["https://127.0.0.1:6443", "CA", "CERT", "KEY", "", "default"].map(str::to_owned)
        );
        assert!(read(&text, "other").is_err_and(|error| error.to_string().contains("no context \"other\"")));
        Ok(())
    }
}
