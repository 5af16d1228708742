//! Whatever arrives is answered, and nothing of it panics.

use object::Rng;

use super::{CONFIGMAPS, Server, configmap};

const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW"];
const TARGETS: [&str; 12] = [
    "/",
    "",
    "//",
    "/api",
    "/api/v1/namespaces//pods",
    "/api/v1/namespaces/default/pods/%00/log",
    "/apis/apps/v1/deployments?limit=-1",
    "/api/v1/namespaces/default/configmaps/a?resourceVersion=x",
    "/api/v1/configmaps?watch=true&timeoutSeconds=-9223372036854775808",
    "/api/v1/configmaps?continue=%FF&limit=99999999999999999999",
    "/api/v1/namespaces/default/configmaps/a/scale",
    "/openapi/v3/apis/x/y",
];
const MEDIA: [&str; 7] = [
    "application/json",
    "application/yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/vnd.kubernetes.protobuf",
];
const BODIES: [&str; 10] = [
    "",
    "null",
    "[]",
    "{",
    "{\"metadata\":[]}",
    "{\"metadata\":{\"name\":1}}",
    "&a [*a, *a]",
    "[{\"op\":\"move\",\"path\":\"\",\"from\":\"/x\"}]",
    "{\"metadata\":{\"finalizers\":{}},\"data\":[1]}",
    "{\"$patch\":\"delete\"}",
];

#[test]
fn every_combination_is_answered() {
    let mut server = Server::new();
    server.post(CONFIGMAPS, configmap("a"));
    let a = format!("{CONFIGMAPS}/a?fieldManager=m");
    let targets: Vec<&str> = TARGETS.iter().copied().chain([CONFIGMAPS, a.as_str()]).collect();
    for method in METHODS {
        for target in &targets {
            for media in MEDIA {
                for body in BODIES {
                    let outputs = server.send(method, target, &[("content-type", media)], body.as_bytes());
                    assert!(!outputs.is_empty(), "{method} {target} {media} {body}");
                }
            }
        }
    }
}

#[test]
fn mutilated_objects_are_answered() {
    let mut server = Server::new();
    let whole = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"1"}}}]}}"#;
    let mut rng = Rng::new(1);
    for _ in 0..2000 {
        let mut bytes = whole.as_bytes().to_vec();
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = b"{}[]\",:0-e\\n\xff"[rng.below(13) as usize];
        }
        assert!(!server.send("POST", "/api/v1/namespaces/default/pods", &[], &bytes).is_empty());
    }
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    let mut server = Server::new();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let body = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for media in MEDIA {
            let method = if media.contains("patch") { "PATCH" } else { "POST" };
            server.send(method, &format!("{CONFIGMAPS}/a?fieldManager=m"), &[("content-type", media)], body.as_bytes());
            server.send("POST", CONFIGMAPS, &[("content-type", media)], body.as_bytes());
        }
    }
}
