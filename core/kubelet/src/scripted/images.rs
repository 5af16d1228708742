//! Images of the scripted runtime: names without contents.

use std::sync::Arc;

use crate::io::{ImageInfo, PullError};

/// Words in the name of an image that is not there, as people write it into examples and tests.
const ABSENT: [&str; 3] = ["does-not-exist", "non-existent", "nonexistent"];

/// "Pulls" an image: its identity and size follow from its name.
pub(super) fn pull(image: &str) -> Result<ImageInfo, PullError> {
    let registry = image.split('/').next().unwrap_or("");
    let host = registry.split(':').next().unwrap_or("");
    if !is_reference(image) {
        return Err(PullError {
            invalid_name: true,
            message: format!("couldn't parse image name {image:?}: invalid reference format"),
        });
    }
    if image.contains('/') && (host.ends_with(".invalid") || host.starts_with("invalid.")) {
        return Err(PullError {
            invalid_name: false,
            message: format!("failed to resolve reference {image:?}: lookup {host}: no such host"),
        });
    }
    if ABSENT.iter().any(|word| image.contains(word)) || image.ends_with(":404") {
        return Err(PullError {
            invalid_name: false,
            message: format!("failed to resolve reference {image:?}: {image}: not found"),
        });
    }
    let digest: String = (0..4u64).map(|i| format!("{:016x}", hash(image, i))).collect();
    let name = image.split('@').next().unwrap_or(image);
    let id: Arc<str> = format!("{name}@sha256:{digest}").into();
    Ok(ImageInfo { id, size: 1_000_000 + hash(image, 9) % 90_000_000 })
}

fn is_reference(image: &str) -> bool {
    let path = image.split('@').next().unwrap_or("");
    let tag_at = path.rfind(':').filter(|colon| !path[*colon..].contains('/'));
    let (name, tag) = tag_at.map_or((path, ""), |colon| (&path[..colon], &path[colon + 1..]));
    let plain = |text: &str, also: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c));
    let good_tag = tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) && (tag_at.is_none() || !tag.is_empty());
    let mut parts = name.split('/').enumerate();
    good_tag && parts.all(|(i, part)| !part.is_empty() && plain(part, if i == 0 { "._-:" } else { "._-" }))
}

/// FNV-1a, for texts that must look like digests and be the same everywhere.
fn hash(text: &str, salt: u64) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325 ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15), |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_images_cannot_be_had() {
        for (image, good, invalid) in [
            ("nginx", true, false),
            ("ghcr.io/org/app:1.2.3", true, false),
            ("localhost:5000/app", true, false),
            ("app@sha256:abc", true, false),
            ("registry.invalid/app", false, false),
            ("invalid.registry.k8s.io/invalid/alpine:3.1", false, false),
            ("app:does-not-exist", false, false),
            ("foo:non-existent", false, false),
            ("gcr.io/google_samples/gb-redisslave:nonexistent", false, false),
            ("webserver:404", false, false),
            ("webserver:4040", true, false),
            ("Not A Name", false, true),
            ("nginx:", false, true),
        ] {
            let got = pull(image);
            assert_eq!(got.is_ok(), good, "{image}");
            assert_eq!(got.is_err_and(|e| e.invalid_name), invalid, "{image}");
        }
    }
}
