//! What a cluster's operator says of Pod Security for namespaces that say nothing, and for whom it does not hold.
//!
//! <https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-admission-controller/>

use object::Value;
use object::value::{at, list_at, str_at};

use super::{Level, Policy, version};

/// `pod-security.admission.config.k8s.io` PodSecurityConfiguration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSecurityConfiguration {
    enforce: Policy,
    audit: Policy,
    warn: Policy,
    usernames: Vec<String>,
    runtime_classes: Vec<String>,
    namespaces: Vec<String>,
}

impl PodSecurityConfiguration {
    /// Reads one; otherwise says what is wrong with it.
    pub fn parse(config: &Value) -> Result<Self, String> {
        let version_of = str_at(config, &["apiVersion"]);
        let known = version_of.is_empty() || version_of == "pod-security.admission.config.k8s.io/v1";
        if !known || !matches!(str_at(config, &["kind"]), "" | "PodSecurityConfiguration") {
            return Err(format!("no kind {:?} is registered for version {version_of:?}", str_at(config, &["kind"])));
        }
        let policy = |mode: &str| {
            let said = |key: &str| at(config, &["defaults", key]).and_then(Value::as_str).filter(|text| !text.is_empty());
            let key = format!("{mode}-version");
            let level = said(mode).map_or(Some(Level::Privileged), Level::parse);
            let level = level.ok_or_else(|| format!("defaults.{mode}: Invalid value: {:?}: {}", said(mode), super::LEVELS))?;
            let minor = said(&key).map_or(Some(None), version);
            let version = minor.ok_or_else(|| format!("defaults.{key}: Invalid value: {:?}: {}", said(&key), super::VERSIONS))?;
            Ok::<_, String>(Policy { level, version })
        };
        let exempt = |key: &str| {
            let list = list_at(config, &["exemptions", key]).iter();
            list.filter_map(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned).collect()
        };
        Ok(PodSecurityConfiguration {
            enforce: policy("enforce")?,
            audit: policy("audit")?,
            warn: policy("warn")?,
            usernames: exempt("usernames"),
            runtime_classes: exempt("runtimeClasses"),
            namespaces: exempt("namespaces"),
        })
    }

    /// What holds in a mode where a namespace says nothing.
    pub(super) fn default_of(&self, mode: &str) -> Policy {
        match mode {
            "enforce" => self.enforce,
            "audit" => self.audit,
            _ => self.warn,
        }
    }

    /// Why nothing is asked of a pod, if so.
    pub(super) fn exempts(&self, namespace: &str, user: &str, spec: &Value) -> Option<&'static str> {
        let has = |list: &[String], text: &str| !text.is_empty() && list.iter().any(|entry| entry == text);
        if has(&self.namespaces, namespace) {
            Some("namespace")
        } else if has(&self.usernames, user) {
            Some("user")
        } else if has(&self.runtime_classes, str_at(spec, &["runtimeClassName"])) {
            Some("runtimeClass")
        } else {
            None
        }
    }
}
