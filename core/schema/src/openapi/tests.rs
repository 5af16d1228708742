//! What kubectl looks for in the documents.

use object::value::at;

use super::*;

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    found.push(reference.clone());
                }
                map.values().for_each(|v| walk(v, found));
            }
            Value::Array(list) => list.iter().for_each(|v| walk(v, found)),
            _ => {}
        }
    }
    let registry = Registry::builtin();
    let documents = registry.groups().iter().flat_map(|g| g.versions.iter().map(move |v| (g.name.clone(), v.clone())));
    let mut documents: Vec<Value> = documents.map(|(g, v)| document(&registry, &g, &v).unwrap()).collect();
    documents.push(swagger(&registry));
    for document in documents {
        let mut found = Vec::new();
        walk(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let path: Vec<&str> = reference.trim_start_matches("#/").split('/').collect();
            assert!(at(&document, &path).is_some(), "{reference}");
        }
    }
}

#[test]
fn patch_operations_name_their_kind_and_take_field_validation() {
    let document = document(&Registry::builtin(), "apps", "v1").unwrap();
    let patch = at(&document, &["paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch"]).unwrap();
    assert_eq!(patch["x-kubernetes-group-version-kind"], json!({"group": "apps", "version": "v1", "kind": "Deployment"}));
    assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
}

#[test]
fn schemas_say_how_to_merge() {
    let document = document(&Registry::builtin(), "", "v1").unwrap();
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "Pod"}])
    );
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(containers["items"]["allOf"][0]["$ref"], "#/components/schemas/io.k8s.api.core.v1.Container");
    let protocol = &schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"];
    assert_eq!(protocol["default"], "TCP");
    // Set by a defaulting function, which OpenAPI does not publish.
    assert!(schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"].get("default").is_none());
}

#[test]
fn the_index_changes_with_the_documents() {
    let registry = Registry::builtin();
    let index = index(&registry);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert!(url.starts_with("/openapi/v3/apis/apps/v1?hash="), "{url}");
    assert_ne!(hash(&registry, "apps", "v1"), hash(&registry, "", "v1"));
}
