//! OpenAPI documents: their tags, and for how long they hold.

use object::{Value, json};
use wasmkube_apiserver::message::Output;

use crate::Server;

fn get(server: &mut Server, target: &str, headers: &[(&str, &str)]) -> (u16, Vec<(String, String)>, Value) {
    let outputs = server.send("GET", target, headers, b"");
    let found = outputs.into_iter().find_map(|output| match output {
        Output::Respond { status, headers, body, .. } => {
            Some((status, headers, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        }
        _ => None,
    });
    found.expect("an answer")
}

fn value<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

#[test]
fn a_document_holds_until_what_it_describes_changes() {
    let mut server = Server::new();
    let (_, _, index) = get(&mut server, "/openapi/v3", &[]);
    let address = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().expect("an address").to_owned();
    let (code, headers, document) = get(&mut server, &address, &[]);
    assert_eq!((code, value(&headers, "cache-control"), &document["openapi"]), (200, "public, immutable", &json!("3.0.0")));
    assert_eq!(value(&headers, "expires"), "Wed, 13 Nov 2024 22:13:20 GMT");
    let tag = value(&headers, "etag").to_owned();
    assert_eq!(get(&mut server, &address, &[("if-none-match", &tag)]).0, 304);
    let (code, headers, _) = get(&mut server, "/openapi/v3/apis/apps/v1?hash=0", &[]);
    assert_eq!((code, value(&headers, "location")), (301, address.as_str()), "another document by now");
    assert_eq!(get(&mut server, "/openapi/v3/apis/nobody/v1", &[]).0, 404);

    let (_, headers, before) = get(&mut server, "/openapi/v2", &[]);
    let tag = value(&headers, "etag").to_owned();
    assert_eq!(get(&mut server, "/openapi/v2", &[("if-none-match", &tag)]).0, 304);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "sites.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "sites", "kind": "Site"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
    });
    assert_eq!(server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).0, 201);
    let (code, _, after) = get(&mut server, "/openapi/v2", &[("if-none-match", &tag)]);
    assert_eq!(code, 200);
    let has = |document: &Value| document["definitions"].get("com.example.v1.Site").is_some();
    assert_eq!((has(&before), has(&after)), (false, true));
}

#[test]
fn whoever_cannot_read_json_is_told() {
    let mut server = Server::new();
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    assert_eq!(get(&mut server, "/openapi/v2", &[("accept", protobuf)]).0, 406);
    assert_eq!(get(&mut server, "/openapi/v2", &[("accept", &format!("{protobuf}, application/json"))]).0, 200);
}
