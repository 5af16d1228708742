//! CertificateSigningRequests, from the request to the certificate.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>

use crate::support::World;
use apiserver::{UserInfo, gvr};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object::{GroupVersionResource, Value, der, json};
use wasmkube_controllers::Settings;

const CA: &str = include_str!("certificates/ca.crt");
const KEY: &str = include_str!("certificates/ca.key");
const NODE: &str = include_str!("certificates/node.csr");
const SERVING: &str = include_str!("certificates/serving.csr");
const USER: &str = include_str!("certificates/user.csr");
const RSA: &str = include_str!("certificates/rsa.csr");

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";

fn requests() -> GroupVersionResource {
    gvr("certificates.k8s.io", "v1", "certificatesigningrequests")
}

fn world() -> World {
    let (_, signing_key) = der::from_pem(KEY).expect("PEM");
    World::with(Settings { root_ca: CA.to_owned(), signing_key, ..Settings::default() })
}

fn ask(world: &mut World, user: &UserInfo, request: &str, signer: &str, usages: &[&str]) -> String {
    let spec = json!({"request": STANDARD.encode(request), "signerName": signer, "usages": usages});
    let object = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "csr-"}, "spec": spec});
    let made = world.api.client(world.now, user).create(&requests(), "", object).expect("asked");
    world.settle();
    made["metadata"]["name"].as_str().unwrap().to_owned()
}

fn approve(world: &mut World, name: &str) {
    let admin = UserInfo::new("admin", &["system:masters"]);
    let mut csr = get(world, name);
    csr["status"] =
        json!({"conditions": [{"type": "Approved", "status": "True", "reason": "Test", "lastUpdateTime": world.now.rfc3339()}]});
    world.api.client(world.now, &admin).update_approval(&requests(), name, csr).expect("approved");
    world.settle();
}

fn get(world: &mut World, name: &str) -> Value {
    world.get(&requests(), "", name).expect("it is there")
}

fn certificate(world: &mut World, name: &str) -> Option<Vec<u8>> {
    let csr = get(world, name);
    let pem = STANDARD.decode(csr["status"]["certificate"].as_str()?).expect("base64");
    let (label, der) = der::from_pem(std::str::from_utf8(&pem).ok()?)?;
    (label == "CERTIFICATE").then_some(der)
}

fn contains(der: &[u8], part: &[u8]) -> bool {
    der.windows(part.len()).any(|window| window == part)
}

#[test]
fn an_approved_request_becomes_a_certificate() {
    let mut world = world();
    let jane = UserInfo::new("jane", &["system:masters"]);
    let name = ask(&mut world, &jane, USER, CLIENT, &["client auth", "digital signature"]);
    assert_eq!(certificate(&mut world, &name), None, "nobody has approved it");
    approve(&mut world, &name);
    let der = certificate(&mut world, &name).expect("signed");
    for part in ["kubernetes", "dev", "jane"] {
        assert!(contains(&der, part.as_bytes()), "{part}");
    }
    // The request's key is the certificate's.
    let (_, request) = der::from_pem(USER).unwrap();
    let info = der::elements(der::elements(&request)[0].contents)[0].contents;
    assert!(contains(&der, der::elements(info)[2].raw));
    // A year from now on, but for the five minutes that it was good already.
    let body = der::elements(der::elements(&der)[0].contents)[0].contents;
    let times: Vec<String> = der::elements(der::elements(body)[4].contents)
        .iter()
        .map(|time| String::from_utf8_lossy(time.contents).into_owned())
        .collect();
    assert_eq!(times, ["261118110140Z", "271118110140Z"]);
}

#[test]
fn every_kind_of_key_is_signed() {
    let mut world = world();
    let name = ask(&mut world, &UserInfo::new("a", &["system:masters"]), RSA, CLIENT, &["client auth"]);
    approve(&mut world, &name);
    assert!(certificate(&mut world, &name).is_some());
}

/// <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/#approval>
#[test]
fn kubelets_are_approved_by_the_rules_of_authorization() {
    let mut world = world();
    let token = UserInfo::new("system:bootstrap:abcdef", &["system:bootstrappers", "system:authenticated"]);
    let usages = ["digital signature", "client auth"];
    let roles = gvr("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
    let bind = |name: &str, role: &str, group: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]})
    };
    world.create(&roles, bind("bootstrap", "system:node-bootstrapper", "system:bootstrappers"));
    let name = ask(&mut world, &token, NODE, KUBELET, &usages);
    assert_eq!(get(&mut world, &name)["status"], json!({}), "it may ask, but nobody has said that it gets what it asks for");
    let role = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
    world.create(&roles, bind("approve", role, "system:bootstrappers"));
    world.pass(2);
    let csr = get(&mut world, &name);
    let condition = &csr["status"]["conditions"][0];
    assert_eq!([&condition["type"], &condition["reason"]], ["Approved", "AutoApproved"]);
    assert_eq!(condition["message"], "Auto approving kubelet client certificate after SubjectAccessReview.");
    assert!(certificate(&mut world, &name).is_some());
}

/// <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers>
#[test]
fn signers_refuse_what_is_not_for_them() {
    let mut world = world();
    let admin = UserInfo::new("admin", &["system:masters"]);
    for (request, signer, usages, expected) in [
        (USER, CLIENT, vec!["server auth"], "invalid usage for client certificate: server auth"),
        (USER, CLIENT, vec!["digital signature"], "missing required usage for client certificate: client auth"),
        (USER, KUBELET, vec!["client auth"], "subject organization is not system:nodes"),
        (SERVING, KUBELET, vec!["client auth"], "DNS subjectAltNames are not allowed"),
        (NODE, KUBELET, vec!["client auth"], "usages did not match [client auth digital signature key encipherment]"),
        (NODE, "kubernetes.io/kubelet-serving", vec!["server auth"], "DNS or IP subjectAltName is required"),
        (SERVING, "kubernetes.io/kubelet-serving", vec!["server auth", "digital signature"], ""),
    ] {
        let name = ask(&mut world, &admin, request, signer, &usages);
        approve(&mut world, &name);
        let csr = get(&mut world, &name);
        let failed = &csr["status"]["conditions"][1];
        assert_eq!(failed["message"].as_str().unwrap_or_default(), expected, "{signer} {usages:?}");
        assert_eq!(csr["status"]["certificate"].is_string(), expected.is_empty(), "{signer} {usages:?}");
    }
    let name = ask(&mut world, &admin, USER, "example.com/other", &["client auth"]);
    approve(&mut world, &name);
    assert_eq!(certificate(&mut world, &name), None, "others' signers are not ours");
}

#[test]
fn old_requests_are_thrown_away() {
    let mut world = world();
    let admin = UserInfo::new("admin", &["system:masters"]);
    let decided = ask(&mut world, &admin, USER, CLIENT, &["client auth"]);
    let pending = ask(&mut world, &admin, USER, CLIENT, &["client auth"]);
    approve(&mut world, &decided);
    world.pass(3599);
    assert!(world.get(&requests(), "", &decided).is_some());
    world.pass(2);
    assert!(world.get(&requests(), "", &decided).is_none());
    world.pass(23 * 3600);
    assert!(world.get(&requests(), "", &pending).is_none());
}
