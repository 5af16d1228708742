//! An authority, and the X.509 certificates it signs.

use object::Time;
use object::der::{self, BIT_STRING, INTEGER, OCTET_STRING, SEQUENCE};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use sha2::{Digest as _, Sha256};

use super::request::{ECDSA_SHA256, Request, SUBJECT_ALT_NAME, extension_value};

/// Clocks that are late find the certificate good already.
const BACKDATE_SECONDS: u64 = 300;
/// A certificate that lives shorter than this does not end earlier for that.
const SHORT_SECONDS: u64 = 8 * 3600;

/// Extensions: `2.5.29.n`.
const KEY_USAGE: u8 = 15;
const SUBJECT_KEY_ID: u8 = 14;
const BASIC_CONSTRAINTS: u8 = 19;
const AUTHORITY_KEY_ID: u8 = 35;
const EXTENDED_KEY_USAGE: u8 = 37;

/// The bits of the key's usages.
const KEY_USAGES: [(&str, u32); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];
/// The last numbers of `1.3.6.1.5.5.7.3.n`.
const EXTENDED_USAGES: [(&str, u8); 10] = [
    ("server auth", 1),
    ("client auth", 2),
    ("code signing", 3),
    ("email protection", 4),
    ("s/mime", 4),
    ("ipsec end system", 5),
    ("ipsec tunnel", 6),
    ("ipsec user", 7),
    ("timestamping", 8),
    ("ocsp signing", 9),
];

/// An authority with a key on P-256.
pub struct Authority {
    key: SigningKey,
    subject: Vec<u8>,
    key_id: Vec<u8>,
    not_after: Time,
}

impl Authority {
    /// From its certificate (PEM) and key (PKCS#8). `None` if there is none, or its key is of another kind.
    pub fn new(certificate: &str, key: &[u8]) -> Option<Self> {
        let key = SigningKey::from_pkcs8_der(key).ok()?;
        let (_, der) = der::from_pem(certificate)?;
        let (certificate, _) = der::read(&der)?;
        let (body, _) = der::read(certificate.contents)?;
        let mut fields = der::elements(body.contents);
        if fields.first().is_some_and(|version| version.tag == 0xa0) {
            fields.remove(0);
        }
        let [_serial, _algorithm, _issuer, validity, subject, _key, more @ ..] = fields.as_slice() else { return None };
        let not_after = der::elements(validity.contents).get(1).and_then(|time| read_time(time.tag, time.contents))?;
        let extensions = more.last().and_then(|last| der::read(last.contents)).map(|(list, _)| der::elements(list.contents));
        let id = [0x55, 0x1d, SUBJECT_KEY_ID];
        let key_id = extensions.unwrap_or_default().iter().find_map(|extension| extension_value(extension, &id));
        let key_id = key_id.and_then(der::read).map(|(id, _)| id.contents.to_vec()).unwrap_or_default();
        Some(Authority { key, subject: subject.raw.to_vec(), key_id, not_after })
    }

    /// Signs a request: PEM, or why not.
    pub fn issue(&self, request: &Request, usages: &[&str], seconds: u64, serial: &str, now: Time) -> Result<String, String> {
        if request.is_signed == Some(false) {
            return Err("unable to verify certificate request signature".to_owned());
        }
        if now >= self.not_after {
            return Err(format!("the signer has expired: NotAfter={}", self.not_after.rfc3339()));
        }
        let end = if seconds < SHORT_SECONDS { seconds } else { seconds - BACKDATE_SECONDS };
        let validity = der::write(
            SEQUENCE,
            &[
                &write_time(Time::from_secs(now.secs().saturating_sub(BACKDATE_SECONDS))),
                &write_time(Time::from_secs(now.secs()).plus_secs(end).min(self.not_after)),
            ],
        );
        let mut number: [u8; 32] = Sha256::digest([serial.as_bytes(), &request.public_key].concat()).into();
        number[0] &= 0x7f;
        let body = der::write(
            SEQUENCE,
            &[
                &der::write(0xa0, &[&der::write(INTEGER, &[&[2]])]),
                &der::integer(number.get(..16).unwrap_or(&number)),
                &ECDSA_SHA256,
                &self.subject,
                &validity,
                &request.subject,
                &request.public_key,
                &der::write(0xa3, &[&self.extensions(request, usages)?]),
            ],
        );
        let signature: Signature = self.key.sign(&body);
        let bytes = signature.to_bytes();
        let (r, s) = bytes.split_at(32);
        let signature = der::write(SEQUENCE, &[&der::integer(r), &der::integer(s)]);
        let certificate = der::write(SEQUENCE, &[&body, &ECDSA_SHA256, &der::write(BIT_STRING, &[&[0], &signature])]);
        Ok(der::to_pem("CERTIFICATE", &certificate))
    }

    fn extensions(&self, request: &Request, usages: &[&str]) -> Result<Vec<u8>, String> {
        let mut list = Vec::new();
        let (mut bits, mut extended, mut unknown) = (0u16, Vec::new(), Vec::new());
        for usage in usages {
            if let Some((_, bit)) = KEY_USAGES.iter().find(|(name, _)| name == usage) {
                bits |= 0x8000 >> bit;
            } else if *usage == "any" {
                extended.push(vec![0x06, 0x04, 0x55, 0x1d, 0x25, 0x00]);
            } else if let Some((_, n)) = EXTENDED_USAGES.iter().find(|(name, _)| name == usage) {
                extended.push(vec![0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, *n]);
            } else {
                unknown.push(format!("{usage:?}"));
            }
        }
        if !unknown.is_empty() {
            return Err(format!("unrecognized usage values: [{}]", unknown.join(" ")));
        }
        if bits != 0 {
            let bytes = bits.to_be_bytes();
            let bytes = if bytes[1] == 0 { &bytes[..1] } else { &bytes[..] };
            let unused = (bits.trailing_zeros() % 8) as u8;
            list.push(extension(KEY_USAGE, true, &der::write(BIT_STRING, &[&[unused], bytes])));
        }
        if !extended.is_empty() {
            list.push(extension(EXTENDED_KEY_USAGE, false, &der::write(SEQUENCE, &[&extended.concat()])));
        }
        list.push(extension(BASIC_CONSTRAINTS, true, &der::write(SEQUENCE, &[])));
        if !self.key_id.is_empty() {
            list.push(extension(AUTHORITY_KEY_ID, false, &der::write(SEQUENCE, &[&der::write(0x80, &[&self.key_id])])));
        }
        if !request.alt_names_der.is_empty() {
            let nameless = request.subject.len() <= 2;
            list.push(extension(SUBJECT_ALT_NAME[2], nameless, &request.alt_names_der));
        }
        Ok(der::write(SEQUENCE, &[&list.concat()]))
    }
}

fn extension(number: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    der::write(SEQUENCE, &[&[0x06, 0x03, 0x55, 0x1d, number], critical, &der::write(OCTET_STRING, &[value])])
}

/// UTCTime up to 2049, then GeneralizedTime.
fn write_time(time: Time) -> Vec<u8> {
    let digits: String = time.rfc3339().chars().filter(char::is_ascii_digit).collect();
    let (tag, digits) = match digits.get(..4) {
        Some(year) if year < "2050" => (0x17, digits.get(2..).unwrap_or_default()),
        _ => (0x18, digits.as_str()),
    };
    der::write(tag, &[digits.as_bytes(), b"Z"])
}

/// The last moment of a certificate.
pub fn not_after(pem: &str) -> Option<Time> {
    let (_, der) = der::from_pem(pem)?;
    let (certificate, _) = der::read(&der)?;
    let (body, _) = der::read(certificate.contents)?;
    let fields = der::elements(body.contents);
    let validity = fields.get(if fields.first()?.tag == 0xa0 { 4 } else { 3 })?;
    der::elements(validity.contents).get(1).and_then(|time| read_time(time.tag, time.contents))
}

fn read_time(tag: u8, text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let text = match tag {
        0x17 => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        _ => text.to_owned(),
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let date = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    Time::parse(&format!("{date}T{}:{}:{}Z", part(8, 10)?, part(10, 12)?, part(12, 14)?))
}
