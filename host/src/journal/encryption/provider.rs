//! One key and what it does to stored bytes: prefixes and layouts are kube-apiserver's, so that either can read the other's.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use crypto_secretbox::XSalsa20Poly1305;

/// What every encrypted value begins with.
pub const MARK: &[u8] = b"k8s:enc:";

/// Which cipher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    AesCbc,
    AesGcm,
    SecretBox,
}

impl Cipher {
    /// Its name in the configuration and in prefixes.
    pub fn name(self) -> &'static str {
        match self {
            Cipher::AesCbc => "aescbc",
            Cipher::AesGcm => "aesgcm",
            Cipher::SecretBox => "secretbox",
        }
    }

    /// Lengths of its keys, in bytes.
    pub fn key_lengths(self) -> &'static [usize] {
        match self {
            Cipher::SecretBox => &[32],
            _ => &[16, 24, 32],
        }
    }

    /// Length of what stands before the ciphertext and is never used twice.
    fn nonce(self) -> usize {
        match self {
            Cipher::AesCbc => 16,
            Cipher::AesGcm => 12,
            Cipher::SecretBox => 24,
        }
    }
}

/// One way to keep bytes. It has no `Debug`, which would print the key.
#[derive(Clone)]
pub struct Provider {
    /// `k8s:enc:aescbc:v1:key1:`; nothing for identity.
    prefix: Vec<u8>,
    key: Option<(Cipher, Vec<u8>)>,
}

impl Provider {
    /// Bytes stay as they are.
    pub fn identity() -> Self {
        Provider { prefix: Vec::new(), key: None }
    }

    /// A key, whose length was checked.
    pub fn keyed(cipher: Cipher, name: &str, secret: Vec<u8>) -> Self {
        let mut prefix = MARK.to_vec();
        prefix.extend_from_slice(format!("{}:v1:{name}:", cipher.name()).as_bytes());
        Provider { prefix, key: Some((cipher, secret)) }
    }

    /// What is kept instead of `plain` at `key`.
    pub fn seal(&self, key: &str, plain: &Bytes) -> Result<Bytes> {
        let Some((cipher, secret)) = &self.key else { return Ok(plain.clone()) };
        let mut nonce = vec![0; cipher.nonce()];
        crate::client::provider().secure_random.fill(&mut nonce).map_err(|_| anyhow!("the system has no randomness"))?;
        let sealed = encrypt(*cipher, secret, &nonce, key, plain)?;
        Ok([&self.prefix[..], &nonce, &sealed].concat().into())
    }

    /// Whether this provider's key made `kept`; identity takes all.
    pub fn made(&self, kept: &[u8]) -> bool {
        kept.starts_with(&self.prefix)
    }

    /// What was sealed, if it was sealed with this key for this `key`.
    pub fn open(&self, key: &str, kept: &Bytes) -> Result<Bytes> {
        let Some((cipher, secret)) = &self.key else {
            ensure!(!kept.starts_with(MARK), "identity transformer tried to read encrypted data");
            return Ok(kept.clone());
        };
        let body = kept.get(self.prefix.len()..).unwrap_or_default();
        let (nonce, sealed) =
            body.split_at_checked(cipher.nonce()).ok_or_else(|| anyhow!("the stored data was shorter than the required size"))?;
        decrypt(*cipher, secret, nonce, key, sealed).map(Bytes::from)
    }
}

type Gcm<A> = AesGcm<A, U12>;

fn encrypt(cipher: Cipher, secret: &[u8], nonce: &[u8], key: &str, plain: &[u8]) -> Result<Vec<u8>> {
    match (cipher, secret.len()) {
        (Cipher::AesCbc, 16) => cbc_encrypt::<cbc::Encryptor<Aes128>>(secret, nonce, plain),
        (Cipher::AesCbc, 24) => cbc_encrypt::<cbc::Encryptor<Aes192>>(secret, nonce, plain),
        (Cipher::AesCbc, _) => cbc_encrypt::<cbc::Encryptor<Aes256>>(secret, nonce, plain),
        (Cipher::AesGcm, 16) => aead_encrypt::<Gcm<Aes128>>(secret, nonce, key, plain),
        (Cipher::AesGcm, 24) => aead_encrypt::<Gcm<Aes192>>(secret, nonce, key, plain),
        (Cipher::AesGcm, _) => aead_encrypt::<Gcm<Aes256>>(secret, nonce, key, plain),
        (Cipher::SecretBox, _) => aead_encrypt::<XSalsa20Poly1305>(secret, nonce, "", plain),
    }
}

fn decrypt(cipher: Cipher, secret: &[u8], nonce: &[u8], key: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    let opened = match (cipher, secret.len()) {
        (Cipher::AesCbc, 16) => return cbc_decrypt::<cbc::Decryptor<Aes128>>(secret, nonce, sealed),
        (Cipher::AesCbc, 24) => return cbc_decrypt::<cbc::Decryptor<Aes192>>(secret, nonce, sealed),
        (Cipher::AesCbc, _) => return cbc_decrypt::<cbc::Decryptor<Aes256>>(secret, nonce, sealed),
        (Cipher::AesGcm, 16) => aead_decrypt::<Gcm<Aes128>>(secret, nonce, key, sealed),
        (Cipher::AesGcm, 24) => aead_decrypt::<Gcm<Aes192>>(secret, nonce, key, sealed),
        (Cipher::AesGcm, _) => aead_decrypt::<Gcm<Aes256>>(secret, nonce, key, sealed),
        (Cipher::SecretBox, _) => aead_decrypt::<XSalsa20Poly1305>(secret, nonce, "", sealed),
    };
    opened.with_context(|| cipher.name())
}

fn aead_encrypt<C: Aead + KeyInit>(secret: &[u8], nonce: &[u8], key: &str, plain: &[u8]) -> Result<Vec<u8>> {
    let cipher = C::new_from_slice(secret).map_err(|_| anyhow!("wrong length"))?;
    let payload = Payload { msg: plain, aad: key.as_bytes() };
    cipher.encrypt(GenericArray::from_slice(nonce), payload).map_err(|_| anyhow!("cannot encrypt"))
}

fn aead_decrypt<C: Aead + KeyInit>(secret: &[u8], nonce: &[u8], key: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    let cipher = C::new_from_slice(secret).map_err(|_| anyhow!("wrong length"))?;
    let payload = Payload { msg: sealed, aad: key.as_bytes() };
    cipher.decrypt(GenericArray::from_slice(nonce), payload).map_err(|_| anyhow!("message authentication failed"))
}

fn cbc_encrypt<C: KeyIvInit + BlockEncryptMut>(secret: &[u8], iv: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let cipher = C::new_from_slices(secret, iv).map_err(|_| anyhow!("wrong length"))?;
    Ok(cipher.encrypt_padded_vec_mut::<Pkcs7>(plain))
}

/// This cipher notices a wrong key by the padding only; that the rest is an object tells nearly all else.
fn cbc_decrypt<C: KeyIvInit + BlockDecryptMut>(secret: &[u8], iv: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    let cipher = C::new_from_slices(secret, iv).map_err(|_| anyhow!("wrong length"))?;
    let plain = cipher.decrypt_padded_vec_mut::<Pkcs7>(sealed).map_err(|_| anyhow!("invalid padding on input"))?;
    ensure!(
        plain.first() == Some(&b'{') && plain.last() == Some(&b'}'),
        "aescbc: what it opens to is no object: the key is another one"
    );
    Ok(plain)
}
