//! Which of the API's versions and resources are served: `--runtime-config` of kube-apiserver.
//!
//! What is stable is on, what is beta or alpha is off, unless the configuration says otherwise.
//! <https://kubernetes.io/docs/reference/using-api/#enabling-or-disabling>

use object::GroupVersionResource;

/// What was said, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig(Vec<(String, bool)>);

/// How stable a version is, by its name.
fn stage(version: &str) -> &'static str {
    if version.contains("alpha") {
        "alpha"
    } else if version.contains("beta") {
        "beta"
    } else {
        "ga"
    }
}

impl RuntimeConfig {
    /// Reads `group/version=true,group/version/resource=false,api/beta=true`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut said = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, "true"));
            let on = match value {
                "true" | "" => true,
                "false" => false,
                _ => return Err(format!("runtime-config invalid value {part:?}: must be true or false")),
            };
            if !matches!(key.split('/').count(), 1..=3) || key.split('/').any(str::is_empty) {
                return Err(format!("runtime-config invalid value {key:?}"));
            }
            said.push((key.trim_start_matches("apis/").to_owned(), on));
        }
        Ok(RuntimeConfig(said))
    }

    fn said(&self, key: &str) -> Option<bool> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, on)| *on)
    }

    /// Whether a resource is served: what is said of it, of its version, of versions as stable as it, of all.
    pub fn serves(&self, gvr: &GroupVersionResource) -> bool {
        let version = match &*gvr.group {
            "" => gvr.version.to_string(),
            group => format!("{group}/{}", gvr.version),
        };
        let stage = stage(&gvr.version);
        let said = [format!("{version}/{}", gvr.resource), version, format!("api/{stage}"), "api/all".to_owned()];
        said.iter().find_map(|key| self.said(key)).unwrap_or(stage == "ga")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_counts() {
        let policy =
            |version: &str| GroupVersionResource::new("admissionregistration.k8s.io", version, "mutatingadmissionpolicies");
        for (config, version, served) in [
            ("", "v1", true),
            ("", "v1beta1", false),
            ("admissionregistration.k8s.io/v1beta1=true", "v1beta1", true),
            ("admissionregistration.k8s.io/v1beta1", "v1beta1", true),
            ("admissionregistration.k8s.io/v1beta1=true", "v1alpha1", false),
            ("api/beta=true", "v1beta1", true),
            ("api/beta=true,admissionregistration.k8s.io/v1beta1=false", "v1beta1", false),
            (
                "admissionregistration.k8s.io/v1beta1=true,admissionregistration.k8s.io/v1beta1/mutatingadmissionpolicies=false",
                "v1beta1",
                false,
            ),
            ("api/all=true,api/alpha=false", "v1alpha1", false),
            ("api/all=true", "v1alpha1", true),
        ] {
            assert_eq!(RuntimeConfig::parse(config).unwrap().serves(&policy(version)), served, "{config} {version}");
        }
        for wrong in ["a/b=x", "a//b=true", "a/b/c/d=true"] {
            RuntimeConfig::parse(wrong).unwrap_err();
        }
    }
}
