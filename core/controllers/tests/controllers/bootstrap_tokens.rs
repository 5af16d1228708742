//! Bootstrap tokens: what becomes of them, and what they sign.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>

use crate::support::World;
use apiserver::gvr;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use object::{GroupVersionResource, Value, json};
use wasmkube_controllers::Settings;

fn core(resource: &'static str) -> GroupVersionResource {
    gvr("", "v1", resource)
}

/// A world with the two controllers, which kube-controller-manager only runs when they are named.
fn world() -> World {
    let controllers = ["*", "bootstrap-signer-controller", "token-cleaner-controller"].map(str::to_owned).to_vec();
    let mut world = World::with(Settings { controllers, ..Settings::default() });
    let meta = json!({"name": "cluster-info", "namespace": "kube-public"});
    let info = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"kubeconfig": "apiVersion: v1"}});
    world.create(&core("configmaps"), info);
    world
}

fn token(world: &mut World, id: &str, more: Value) {
    let mut data = json!({"token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true"});
    for (key, value) in more.as_object().unwrap() {
        data[key] = value.clone();
    }
    let meta = json!({"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"});
    world.create(
        &core("secrets"),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "bootstrap.kubernetes.io/token", "stringData": data}),
    );
}

fn info(world: &mut World) -> Value {
    world.get(&core("configmaps"), "kube-public", "cluster-info").expect("it is there")["data"].clone()
}

#[test]
fn each_token_signs_what_new_nodes_read_first() {
    let mut world = world();
    token(&mut world, "abcdef", json!({}));
    token(&mut world, "unused", json!({"usage-bootstrap-signing": "false"}));
    let data = info(&mut world);
    let signature = data["jws-kubeconfig-abcdef"].as_str().expect("signed");
    let [header, payload, _] = signature.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    assert_eq!(URL_SAFE_NO_PAD.decode(header).unwrap(), br#"{"alg":"HS256","kid":"abcdef"}"#);
    assert_eq!(payload, "", "what is signed stands beside it");
    assert_eq!(data["jws-kubeconfig-unused"], Value::Null);
    world.patch(&core("configmaps"), "kube-public", "cluster-info", json!({"data": {"kubeconfig": "apiVersion: v2"}}));
    assert_ne!(info(&mut world)["jws-kubeconfig-abcdef"], signature);
    world.delete(&core("secrets"), "kube-system", "bootstrap-token-abcdef", &Default::default());
    assert_eq!(info(&mut world), json!({"kubeconfig": "apiVersion: v2"}));
}

#[test]
fn a_token_goes_when_its_time_is_over() {
    let mut world = world();
    let end = world.now.plus_secs(60).rfc3339();
    token(&mut world, "abcdef", json!({"expiration": end}));
    world.pass(59);
    assert!(world.get(&core("secrets"), "kube-system", "bootstrap-token-abcdef").is_some());
    world.pass(2);
    assert!(world.get(&core("secrets"), "kube-system", "bootstrap-token-abcdef").is_none());
    assert_eq!(info(&mut world), json!({"kubeconfig": "apiVersion: v1"}));
}
