//! What each of Kubernetes' own signers asks of a request.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers>

use super::request::Request;

const NODES: &str = "system:nodes";
const NODE: &str = "system:node:";

/// One of the signers that a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    ApiServerClient,
    KubeletClient,
    KubeletServing,
    LegacyUnknown,
}

impl Signer {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "kubernetes.io/kube-apiserver-client" => Signer::ApiServerClient,
            "kubernetes.io/kube-apiserver-client-kubelet" => Signer::KubeletClient,
            "kubernetes.io/kubelet-serving" => Signer::KubeletServing,
            "kubernetes.io/legacy-unknown" => Signer::LegacyUnknown,
            _ => return None,
        })
    }

    /// Says why a request is none for this signer, if it is none.
    pub fn check(self, request: &Request, usages: &[&str]) -> Result<(), String> {
        match self {
            Signer::ApiServerClient => client_usages(usages),
            Signer::KubeletClient => {
                organization(request)?;
                no_names(&[
                    ("DNS", request.alt_names.dns),
                    ("Email", request.alt_names.emails),
                    ("IP", request.alt_names.ips),
                    ("URI", request.alt_names.uris),
                ])?;
                common_name(request)?;
                exact_usages(usages, "client auth", "[client auth digital signature key encipherment]")
            }
            Signer::KubeletServing => {
                organization(request)?;
                if request.alt_names.dns + request.alt_names.ips == 0 {
                    return Err("DNS or IP subjectAltName is required".to_owned());
                }
                no_names(&[("Email", request.alt_names.emails), ("URI", request.alt_names.uris)])?;
                exact_usages(usages, "server auth", "[digital signature key encipherment server auth]")?;
                common_name(request)
            }
            Signer::LegacyUnknown => Ok(()),
        }
    }
}

fn organization(request: &Request) -> Result<(), String> {
    if request.organizations == [NODES] { Ok(()) } else { Err("subject organization is not system:nodes".to_owned()) }
}

fn common_name(request: &Request) -> Result<(), String> {
    let is_node = request.common_name.starts_with(NODE);
    if is_node { Ok(()) } else { Err("subject common name does not begin with system:node:".to_owned()) }
}

fn no_names(counts: &[(&str, u32)]) -> Result<(), String> {
    let there = counts.iter().find(|(_, count)| *count > 0);
    there.map_or(Ok(()), |(kind, _)| Err(format!("{kind} subjectAltNames are not allowed")))
}

/// Exactly a signature and this use; the key may also wrap others, as keys of RSA do.
fn exact_usages(usages: &[&str], wanted: &str, all: &str) -> Result<(), String> {
    let has = |usage: &str| usages.contains(&usage);
    let known = usages.iter().all(|usage| matches!(*usage, "digital signature" | "key encipherment") || *usage == wanted);
    if known && has("digital signature") && has(wanted) { Ok(()) } else { Err(format!("usages did not match {all}")) }
}

fn client_usages(usages: &[&str]) -> Result<(), String> {
    let allowed = ["digital signature", "key encipherment", "client auth"];
    if let Some(other) = usages.iter().find(|usage| !allowed.contains(usage)) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    let has = usages.contains(&"client auth");
    if has { Ok(()) } else { Err("missing required usage for client certificate: client auth".to_owned()) }
}
