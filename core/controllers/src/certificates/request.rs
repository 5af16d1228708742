//! What a PKCS#10 certificate request says.

use object::der::{self, Element};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};

/// `2.5.4.3` and `2.5.4.10`.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0a];
/// `1.2.840.113549.1.9.14`: the extensions that are asked for.
const EXTENSION_REQUEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// `2.5.29.17`.
pub const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
/// `1.2.840.10045.4.3.2`: ECDSA with SHA-256, as an algorithm.
pub const ECDSA_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// `1.2.840.10045.2.1` with `1.2.840.10045.3.1.7`: a key on P-256.
const P256: [u8; 21] = [
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
];

/// The kinds of alternative names, as Kubernetes' rules tell them apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AltNames {
    pub emails: u32,
    pub dns: u32,
    pub uris: u32,
    pub ips: u32,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The subject, as it stands there.
    pub subject: Vec<u8>,
    /// Its common name; empty for none.
    pub common_name: String,
    /// Its organizations.
    pub organizations: Vec<String>,
    /// The public key, as it stands there.
    pub public_key: Vec<u8>,
    /// The value of the extension with other names, as it stands there; empty for none.
    pub alt_names_der: Vec<u8>,
    /// How many names of each kind that are.
    pub alt_names: AltNames,
    /// Whether the signature is that of the key; `None` for keys of kinds that cannot be told here.
    pub is_signed: Option<bool>,
}

impl Request {
    /// Reads PEM.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let (label, der) = der::from_pem(pem)?;
        (label == "CERTIFICATE REQUEST").then(|| Request::from_der(&der)).flatten()
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let (request, _) = der::read(der)?;
        let parts = der::elements(request.contents);
        let [info, algorithm, signature] = parts.as_slice() else { return None };
        let fields = der::elements(info.contents);
        let [_version, subject, public_key, attributes @ ..] = fields.as_slice() else { return None };
        let mut request = Request { subject: subject.raw.to_vec(), public_key: public_key.raw.to_vec(), ..Request::default() };
        for (name, value) in names(subject) {
            match name {
                COMMON_NAME => request.common_name = value,
                ORGANIZATION => request.organizations.push(value),
                _ => {}
            }
        }
        if let Some(names) = attributes.first().and_then(alt_names) {
            request.alt_names_der = names.to_vec();
            for name in der::elements(der::read(names)?.0.contents) {
                let counted = match name.tag & 0x1f {
                    1 => &mut request.alt_names.emails,
                    2 => &mut request.alt_names.dns,
                    6 => &mut request.alt_names.uris,
                    7 => &mut request.alt_names.ips,
                    _ => continue,
                };
                *counted += 1;
            }
        }
        request.is_signed = verify(info.raw, public_key, algorithm, signature);
        Some(request)
    }
}

/// Types and texts of a subject's parts.
fn names(subject: &Element<'_>) -> Vec<([u8; 3], String)> {
    let pairs = der::elements(subject.contents).into_iter().flat_map(|set| der::elements(set.contents));
    let read = |pair: Element<'_>| match der::elements(pair.contents).as_slice() {
        [name, value] => Some((name.contents.try_into().ok()?, String::from_utf8_lossy(value.contents).into_owned())),
        _ => None,
    };
    pairs.filter_map(read).collect()
}

/// The alternative names among a request's attributes.
fn alt_names<'a>(attributes: &Element<'a>) -> Option<&'a [u8]> {
    let attributes = der::elements(attributes.contents);
    let wanted = attributes.iter().find_map(|attribute| match der::elements(attribute.contents).as_slice() {
        [name, set] if name.contents == EXTENSION_REQUEST => Some(set.contents),
        _ => None,
    })?;
    let (extensions, _) = der::read(wanted)?;
    der::elements(extensions.contents).iter().find_map(|extension| extension_value(extension, &SUBJECT_ALT_NAME))
}

/// The value of an extension, if it is this one.
pub fn extension_value<'a>(extension: &Element<'a>, name: &[u8]) -> Option<&'a [u8]> {
    let parts = der::elements(extension.contents);
    (parts.first()?.contents == name).then(|| parts.last().map(|value| value.contents)).flatten()
}

fn verify(signed: &[u8], key: &Element<'_>, algorithm: &Element<'_>, signature: &Element<'_>) -> Option<bool> {
    let parts = der::elements(key.contents);
    let [kind, point] = parts.as_slice() else { return Some(false) };
    if kind.raw != P256 || algorithm.raw != ECDSA_SHA256 {
        return None;
    }
    let check = || {
        let key = VerifyingKey::from_sec1_bytes(point.contents.get(1..)?).ok()?;
        let (pair, _) = der::read(signature.contents.get(1..)?)?;
        let numbers = der::elements(pair.contents);
        let [r, s] = numbers.as_slice() else { return None };
        let signature = Signature::from_scalars(scalar(r.contents)?, scalar(s.contents)?).ok()?;
        key.verify(signed, &signature).ok()
    };
    Some(check().is_some())
}

/// The last 32 bytes of a number that has no more than that.
fn scalar(number: &[u8]) -> Option<[u8; 32]> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.get(zeros..).filter(|number| number.len() <= 32)?;
    let mut bytes = [0; 32];
    bytes[32 - number.len()..].copy_from_slice(number);
    Some(bytes)
}
