//! Certificates: one authority per cluster and what it signed, made at first start into `D/pki` and used again afterwards.
//!
//! File names and subjects are kubeadm's where kubeadm has them. A certificate that nears its end, or lacks a name it
//! now needs, is made anew; the authority and its key never change.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cluster::wire::ClientCertificate;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// How long the authority lives.
const AUTHORITY_DAYS: i64 = 3650;

/// How long what it signs lives.
const LEAF_DAYS: i64 = 365;

/// A certificate with fewer days left is made anew at start.
const RENEW_DAYS: i64 = 30;

/// The group that may do everything.
pub(crate) const MASTERS: &str = "system:masters";

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// The certificates of a cluster.
pub struct Pki {
    dir: PathBuf,
    authority: Pair,
    /// The authority's common name.
    name: &'static str,
}

/// What a certificate says and is for.
struct Wish<'a> {
    common_name: &'a str,
    organization: Option<&'a str>,
    names: BTreeSet<String>,
    usage: ExtendedKeyUsagePurpose,
}

impl Pki {
    /// Opens this directory; it and the authority are made if they are missing.
    pub fn open(dir: &Path) -> Result<Self> {
        Pki::open_authority(dir, "ca", "kubernetes")
    }

    /// The authority of the front proxy, in the same directory.
    fn front_proxy(&self) -> Result<Self> {
        Pki::open_authority(&self.dir, "front-proxy-ca", "front-proxy-ca")
    }

    /// Who a kube-controller-manager beside this program is.
    pub fn controller_manager(&self) -> Result<Pair> {
        self.client("controller-manager", "system:kube-controller-manager", None)
    }

    /// Who a kube-scheduler beside this program is.
    pub fn scheduler(&self) -> Result<Pair> {
        self.client("scheduler", "system:kube-scheduler", None)
    }

    fn open_authority(dir: &Path, file: &str, name: &'static str) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let authority = Pair { certificate: String::new(), key: String::new() };
        let mut pki = Pki { dir: dir.to_path_buf(), authority, name };
        pki.authority = match pki.read(file)? {
            Some(pair) => pair,
            None => {
                let key = KeyPair::generate()?;
                let certificate = authority_params(name)?.self_signed(&key)?.pem();
                pki.write(file, Pair { certificate, key: key.serialize_pem() })?
            }
        };
        Ok(pki)
    }

    /// PEM of the authority, which clients must trust.
    pub fn authority(&self) -> &str {
        &self.authority.certificate
    }

    /// The authority's key as PKCS#8, for the control plane to sign certificate requests with.
    pub fn authority_key(&self) -> Result<Vec<u8>> {
        Ok(KeyPair::from_pem(&self.authority.key).context("the authority's key is damaged")?.serialize_der())
    }

    /// The key that signs tokens of service accounts, as PKCS#8; made at first start and kept, so that tokens outlive a restart.
    pub fn service_account_key(&self) -> Result<Vec<u8>> {
        let path = self.dir.join("sa.key");
        let key = match std::fs::read_to_string(&path) {
            Ok(pem) => KeyPair::from_pem(&pem).with_context(|| format!("{} is damaged", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                write_private(&path, &key.serialize_pem())?;
                key
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(key.serialize_der())
    }

    /// The API server's certificate, good for these names and addresses.
    pub fn api_server(&self, names: BTreeSet<String>) -> Result<Pair> {
        self.pair(
            "apiserver",
            Wish { common_name: "kube-apiserver", organization: None, names, usage: ExtendedKeyUsagePurpose::ServerAuth },
        )
    }

    /// Who the API server is to kubelets.
    pub fn kubelet_client(&self) -> Result<Pair> {
        self.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", Some(MASTERS))
    }

    /// Who the API server is to aggregated API servers. It is signed by the front proxy's own authority, so that nobody else's
    /// certificate makes them believe who a user is.
    pub fn front_proxy_client(&self) -> Result<Pair> {
        self.front_proxy()?.client("front-proxy-client", "front-proxy-client", None)
    }

    /// The front proxy's own authority, as PEM.
    pub fn front_proxy_authority(&self) -> Result<String> {
        Ok(self.front_proxy()?.authority.certificate)
    }

    /// The kubeconfig's user.
    pub fn admin(&self) -> Result<Pair> {
        self.client("admin", "kubernetes-admin", Some(MASTERS))
    }

    /// Who a node is to the API server.
    pub fn node_client(&self, node: &str) -> Result<Pair> {
        self.client(&format!("node-{node}"), &format!("system:node:{node}"), Some("system:nodes"))
    }

    /// Who the data plane of nodes is to the API server.
    pub fn proxy_client(&self) -> Result<Pair> {
        self.client("kube-proxy", "system:kube-proxy", None)
    }

    /// The certificate of a node's kubelet, good for its name and address.
    pub fn node_server(&self, node: &str, address: IpAddr) -> Result<Pair> {
        self.pair(
            &format!("kubelet-{node}"),
            Wish {
                common_name: &format!("system:node:{node}"),
                organization: Some("system:nodes"),
                names: [node.to_owned(), address.to_string()].into(),
                usage: ExtendedKeyUsagePurpose::ServerAuth,
            },
        )
    }

    fn client(&self, file: &str, common_name: &str, organization: Option<&str>) -> Result<Pair> {
        self.pair(file, Wish { common_name, organization, names: BTreeSet::new(), usage: ExtendedKeyUsagePurpose::ClientAuth })
    }

    /// The pair in this file, if it still does; else a new one.
    fn pair(&self, file: &str, wish: Wish<'_>) -> Result<Pair> {
        if let Some(pair) = self.read(file)?
            && still_good(&pair, &wish)
        {
            return Ok(pair);
        }
        let mut params = CertificateParams::new(wish.names.iter().cloned().collect::<Vec<_>>())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(organization) = wish.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        params.distinguished_name.push(DnType::CommonName, wish.common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![wish.usage];
        params.use_authority_key_identifier_extension = true;
        lasting(&mut params, LEAF_DAYS);
        let key = KeyPair::generate()?;
        let issuer_key = KeyPair::from_pem(&self.authority.key).context("the authority's key is damaged")?;
        let certificate = params.signed_by(&key, &Issuer::new(authority_params(self.name)?, issuer_key))?.pem();
        self.write(file, Pair { certificate, key: key.serialize_pem() })
    }

    fn read(&self, file: &str) -> Result<Option<Pair>> {
        let read = |extension: &str| match std::fs::read_to_string(self.dir.join(format!("{file}.{extension}"))) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {file}.{extension} in {}", self.dir.display())),
        };
        Ok(read("crt")?.zip(read("key")?).map(|(certificate, key)| Pair { certificate, key }))
    }

    /// The certificate last: a pair counts only once it is complete.
    fn write(&self, file: &str, pair: Pair) -> Result<Pair> {
        write_private(&self.dir.join(format!("{file}.key")), &pair.key)?;
        write_private(&self.dir.join(format!("{file}.crt")), &pair.certificate)?;
        Ok(pair)
    }
}

/// Names and addresses under which the API of this host is reached, from inside and outside.
pub fn api_server_names(bind: IpAddr, service: IpAddr, domain: &str) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "::1"]
            .into_iter()
            .map(str::to_owned)
            .collect();
    names.insert(format!("kubernetes.default.svc.{domain}"));
    names.insert(service.to_string());
    if !bind.is_unspecified() {
        names.insert(bind.to_string());
    }
    names.extend(host_address().map(|address| address.to_string()));
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        names.insert(name.trim().to_lowercase());
    }
    names
}

/// The address this host would use to reach others. Choosing a destination for a datagram socket sends nothing.
fn host_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Writes a file that only its owner may read, all at once.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let fresh = path.with_added_extension("new");
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Reads the subject of a verified client certificate.
pub fn subject(certificate: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let common_name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let organizations = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    Some(ClientCertificate { common_name, organizations })
}

fn authority_params(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasting(&mut params, AUTHORITY_DAYS);
    Ok(params)
}

fn lasting(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    // Some clocks are late.
    params.not_before = now - Duration::minutes(5);
    params.not_after = now + Duration::days(days);
}

fn still_good(pair: &Pair, wish: &Wish<'_>) -> bool {
    let Ok(chain) = crate::client::certificates(&pair.certificate) else { return false };
    let Some((_, certificate)) = chain.first().and_then(|der| X509Certificate::from_der(der).ok()) else { return false };
    let left = certificate.validity().not_after.timestamp() - OffsetDateTime::now_utc().unix_timestamp();
    let mut names = BTreeSet::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        names.extend(extension.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
                16 => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
                _ => None,
            },
            _ => None,
        }));
    }
    left > RENEW_DAYS * 86_400 && names.is_superset(&wish.names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_made_once_and_again_when_a_name_is_missing() -> Result<()> {
        let dir = std::env::temp_dir().join(format!("wasmkube-pki-{}", std::process::id()));
        let pki = Pki::open(&dir)?;
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let first = pki.api_server(names(&["localhost", "127.0.0.1"]))?;
        assert_eq!(pki.api_server(names(&["127.0.0.1"]))?.certificate, first.certificate);
        let again = Pki::open(&dir)?;
        assert_eq!(again.authority(), pki.authority());
        assert_eq!(again.api_server(names(&["localhost"]))?.certificate, first.certificate);
        assert_ne!(again.api_server(names(&["localhost", "10.0.0.7"]))?.certificate, first.certificate);
        let admin = crate::client::certificates(&again.admin()?.certificate)?;
        let subject = subject(&admin[0]).context("no subject")?;
        assert_eq!((subject.common_name.as_str(), subject.organizations), ("kubernetes-admin", vec![MASTERS.to_owned()]));
        std::fs::remove_dir_all(&dir)?;
        Ok(())
    }
}
