//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may approve and sign for which signer, and
//! what no client certificate may say.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object::value::{at, str_at};
use object::{Result, Value, der};

use super::{Attributes, Operation};
use crate::auth;
use crate::server::ApiServer;

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const MASTERS: &str = "system:masters";
/// `2.5.4.10`, organizationName: where a certificate's groups stand.
const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0a];

/// CertificateApproval: approving takes the right to approve for the request's signer.
pub fn approval(api: &mut ApiServer, attributes: &Attributes<'_>, _object: &Value) -> Result<()> {
    let Some(old) = attributes.old.filter(|_| updates(attributes, "approval")) else { return Ok(()) };
    permitted(api, attributes, "approve", str_at(old, &["spec", "signerName"]))
}

/// CertificateSigning: so does issuing a certificate.
pub fn signing(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    let Some(old) = attributes.old.filter(|_| updates(attributes, "status")) else { return Ok(()) };
    let same = |key: &str| at(old, &["status", key]) == at(object, &["status", key]);
    if same("certificate") && same("conditions") {
        return Ok(());
    }
    permitted(api, attributes, "sign", str_at(old, &["spec", "signerName"]))
}

/// CertificateSubjectRestriction: nobody gets a client certificate that is above all rules.
pub fn subject(_api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    let signer = str_at(object, &["spec", "signerName"]);
    if !attributes.is(GROUP, REQUESTS) || attributes.operation != Operation::Create || signer != CLIENT_SIGNER {
        return Ok(());
    }
    if organizations(str_at(object, &["spec", "request"])).iter().any(|group| group == MASTERS.as_bytes()) {
        return Err(attributes.forbidden(&format!("use of {signer} signer with {MASTERS} group is not allowed")));
    }
    Ok(())
}

fn updates(attributes: &Attributes<'_>, subresource: &str) -> bool {
    attributes.is_part_of(GROUP, REQUESTS)
        && attributes.operation == Operation::Update
        && attributes.target.subresource == subresource
}

/// Whether the user has the right for this signer, or for all of its domain.
fn permitted(api: &ApiServer, attributes: &Attributes<'_>, verb: &str, signer: &str) -> Result<()> {
    let domain = signer.split('/').next().unwrap_or(signer);
    let may = |name: &str| {
        let wanted =
            auth::Attributes { verb, group: GROUP, version: "*", resource: "signers", name, ..auth::Attributes::default() };
        auth::authorize(api, attributes.user, &wanted).allowed
    };
    if may(signer) || may(&format!("{domain}/*")) {
        return Ok(());
    }
    Err(attributes.forbidden(&format!("user not permitted to {verb} requests with signerName {signer:?}")))
}

/// The organizations in the subject of a certificate request, given as base64 of PEM. What cannot be read has none.
fn organizations(request: &str) -> Vec<Vec<u8>> {
    let pem = STANDARD.decode(request).unwrap_or_default();
    let Some((_, request)) = der::from_pem(&String::from_utf8_lossy(&pem)) else { return Vec::new() };
    // CertificationRequest { info { version, subject, ... }, ... }
    let subject = der::read(&request).and_then(|(request, _)| {
        let (info, _) = der::read(request.contents)?;
        der::elements(info.contents).get(1).map(|subject| subject.contents)
    });
    let mut found = Vec::new();
    for set in der::elements(subject.unwrap_or_default()) {
        for pair in der::elements(set.contents) {
            if let [name, value] = der::elements(pair.contents).as_slice()
                && name.contents == ORGANIZATION
            {
                found.push(value.contents.to_vec());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, contents: &[u8]) -> Vec<u8> {
        [&[tag, contents.len() as u8], contents].concat()
    }

    #[test]
    fn organizations_are_read() {
        let pair = |oid: &[u8], text: &str| wrap(0x31, &wrap(0x30, &[wrap(6, oid), wrap(12, text.as_bytes())].concat()));
        let subject = wrap(0x30, &[pair(&ORGANIZATION, "a"), pair(&[0x55, 4, 3], "name"), pair(&ORGANIZATION, MASTERS)].concat());
        let der = wrap(0x30, &wrap(0x30, &[wrap(2, &[0]), subject].concat()));
        let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", STANDARD.encode(der));
        assert_eq!(organizations(&STANDARD.encode(pem)), [b"a".to_vec(), MASTERS.as_bytes().to_vec()]);
        for nonsense in ["", "x", "MIII", &STANDARD.encode("-----BEGIN X-----\nMIIC\n")] {
            assert!(organizations(nonsense).is_empty(), "{nonsense}");
        }
    }
}
