//! What is tried out and can be switched on: `--feature-gates` of Kubernetes.
//!
//! <https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/>

/// The features of Kubernetes v1.35 that are off there where nothing is said, and that this server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Policies that change objects.
    pub mutating_admission_policy: bool,
}

impl Features {
    /// Reads `MutatingAdmissionPolicy=true,AllBeta=false`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut features = Features::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(format!("missing bool value for {part}"));
            };
            let on = match value.trim() {
                "true" => true,
                "false" => false,
                _ => return Err(format!("invalid value of {name}={value}, err: must be true or false")),
            };
            match name.trim() {
                "MutatingAdmissionPolicy" | "AllBeta" => features.mutating_admission_policy = on,
                "AllAlpha" => {}
                name => return Err(format!("unrecognized feature gate: {name}")),
            }
        }
        Ok(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_named() {
        for (text, expect) in [
            ("", Ok(false)),
            ("MutatingAdmissionPolicy=true", Ok(true)),
            ("AllBeta=true", Ok(true)),
            ("AllBeta=true,MutatingAdmissionPolicy=false", Ok(false)),
            ("MutatingAdmissionPolicy", Err("missing bool value for MutatingAdmissionPolicy")),
            ("Other=true", Err("unrecognized feature gate: Other")),
        ] {
            let found = Features::parse(text).map(|features| features.mutating_admission_policy);
            assert_eq!(found.as_ref().map_err(String::as_str), expect.as_ref().map_err(|why| *why), "{text}");
        }
    }
}
