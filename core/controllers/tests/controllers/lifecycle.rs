//! Ends of things: each controller does its part with the rights of its own role and no others.

use crate::support::World;
use apiserver::{DeleteOptions, UserInfo, gvr};
use object::{Value, json};

fn core(resource: &'static str) -> object::GroupVersionResource {
    gvr("", "v1", resource)
}

/// <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection>
#[test]
fn a_claim_in_use_stays_until_its_pod_is_gone() {
    let mut world = World::new();
    world.settle();
    let spec =
        json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "none"});
    let claims = core("persistentvolumeclaims");
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"}, "spec": spec});
    world.create(&claims, claim);
    let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let spec = json!({"containers": [{"name": "c", "image": "i"}], "volumes": volumes, "nodeName": "n"});
    world.create(
        &core("pods"),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user", "namespace": "default"}, "spec": spec}),
    );
    world.delete(&claims, "default", "data", &Default::default());
    world.settle();
    let waiting = world.get(&claims, "default", "data").expect("it is in use");
    assert!(waiting["metadata"]["deletionTimestamp"].is_string());
    world.delete(&core("pods"), "default", "user", &DeleteOptions { grace_period_seconds: Some(0), ..Default::default() });
    world.settle();
    assert_eq!(world.get(&claims, "default", "data"), None);
}

/// <https://kubernetes.io/docs/concepts/policy/resource-quotas/>
#[test]
fn a_quota_says_what_is_used() {
    let mut world = World::new();
    world.settle();
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": {"pods": "10", "requests.cpu": "2"}}});
    world.create(&core("resourcequotas"), quota);
    let container = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "300m"}}});
    for name in ["a", "b"] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container]}});
        world.create(&core("pods"), pod);
    }
    world.settle();
    let used = |world: &mut World| world.get(&core("resourcequotas"), "default", "q").unwrap()["status"]["used"].clone();
    assert_eq!(used(&mut world), json!({"pods": "2", "requests.cpu": "600m"}));
    world.delete(&core("pods"), "default", "a", &Default::default());
    world.settle();
    assert_eq!(used(&mut world), json!({"pods": "1", "requests.cpu": "300m"}));
}

/// <https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets>
#[test]
fn a_secret_holds_a_token_for_as_long_as_its_account_lives() {
    let mut world = World::new();
    world.settle();
    let meta = |name: &str| json!({"name": name, "namespace": "default"});
    world.create(&core("serviceaccounts"), json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("robot")}));
    let mut metadata = meta("robot-token");
    metadata["annotations"] = json!({"kubernetes.io/service-account.name": "robot"});
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/service-account-token"});
    world.create(&core("secrets"), secret);
    world.settle();
    let secret = world.get(&core("secrets"), "default", "robot-token").expect("it is there");
    let account = world.get(&core("serviceaccounts"), "default", "robot").expect("it is there");
    assert_eq!(secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"], account["metadata"]["uid"]);
    assert_eq!(secret["data"]["namespace"], "ZGVmYXVsdA==");
    let token = base64_text(&secret["data"]["token"]);
    let who = |world: &mut World, token: &str| {
        let reviews = gvr("authentication.k8s.io", "v1", "tokenreviews");
        let review =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {"token": token}});
        world.create(&reviews, review)["status"]["user"]["username"].clone()
    };
    assert_eq!(who(&mut world, &token), "system:serviceaccount:default:robot");
    assert_eq!(who(&mut world, &format!("{token}x")), Value::Null);
    world.delete(&core("serviceaccounts"), "default", "robot", &Default::default());
    assert_eq!(who(&mut world, &token), Value::Null, "without its account a token is nobody's");
    assert_eq!(world.get(&core("secrets"), "default", "robot-token"), None);
}

/// <https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/>
#[test]
fn a_range_of_addresses_stays_while_services_need_it() {
    let mut world = World::new();
    let (cidrs, services) = (apiserver::gvr("networking.k8s.io", "v1", "servicecidrs"), core("services"));
    let addresses = apiserver::gvr("networking.k8s.io", "v1", "ipaddresses");
    let range = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"},
        "spec": {"cidrs": ["10.200.0.0/24"]}});
    let service = |name: &str, ip: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
            "spec": {"clusterIP": ip, "ports": [{"port": 80}]}})
    };
    let admin = UserInfo::new("admin", &["system:masters"]);
    let early = world.api.client(world.now, &admin).create(&services, "default", service("early", "10.200.0.9"));
    assert!(early.unwrap_err().message.contains("the provided network does not match the current range"));
    world.create(&cidrs, range);
    world.settle();
    let ready = |world: &mut World| world.get(&cidrs, "", "more").map(|cidr| cidr["status"]["conditions"][0].clone());
    assert_eq!(ready(&mut world).unwrap()["status"], "True");

    world.create(&services, service("web", "10.200.0.9"));
    let address = world.get(&addresses, "", "10.200.0.9").expect("it stands for the address");
    assert_eq!(address["spec"]["parentRef"], json!({"resource": "services", "namespace": "default", "name": "web"}));
    let twice = world.api.client(world.now, &admin).create(&services, "default", service("other", "10.200.0.9"));
    assert!(twice.unwrap_err().message.contains("provided IP is already allocated"));

    world.delete(&cidrs, "", "more", &DeleteOptions::default());
    let condition = ready(&mut world).expect("it stays");
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Terminating")));
    world.delete(&services, "default", "web", &DeleteOptions::default());
    assert!(world.get(&addresses, "", "10.200.0.9").is_none(), "the address goes with its Service");
    assert!(ready(&mut world).is_none(), "nothing needs the range");
}

/// <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles>
#[test]
fn a_role_is_made_of_those_it_selects() {
    let mut world = World::new();
    let roles = gvr("rbac.authorization.k8s.io", "v1", "clusterroles");
    let rule = |resource: &str| json!({"apiGroups": [""], "resources": [resource], "verbs": ["get"]});
    let role = |name: &str, labels: Value, rules: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels}, "rules": rules})
    };
    let mut monitoring = role("monitoring", json!({}), json!([]));
    monitoring["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"to-monitoring": "true"}}]});
    world.create(&roles, monitoring);
    world.create(&roles, role("b", json!({"to-monitoring": "true"}), json!([rule("pods"), rule("services")])));
    world.create(&roles, role("a", json!({"to-monitoring": "true"}), json!([rule("endpoints"), rule("pods")])));
    world.create(&roles, role("c", json!({}), json!([rule("secrets")])));
    world.settle();
    let rules = |world: &mut World| world.get(&roles, "", "monitoring").expect("the role")["rules"].clone();
    assert_eq!(rules(&mut world), json!([rule("endpoints"), rule("pods"), rule("services")]), "by name, each rule once");
    world.delete(&roles, "", "a", &DeleteOptions::default());
    assert_eq!(rules(&mut world), json!([rule("pods"), rule("services")]));
    let made = world.get(&roles, "", "monitoring").expect("the role");
    let managers: Vec<&str> =
        made["metadata"]["managedFields"].as_array().unwrap().iter().filter_map(|m| m["manager"].as_str()).collect();
    assert!(managers.contains(&"clusterrole-aggregation-controller"), "{managers:?}");
}

/// <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#endpointslice-mirroring>
#[test]
fn endpoints_that_somebody_wrote_are_mirrored() {
    let mut world = World::new();
    let (services, endpoints) = (core("services"), core("endpoints"));
    let slices = gvr("discovery.k8s.io", "v1", "endpointslices");
    let mirrors = |world: &World| -> Vec<Value> {
        let all = world.list(&slices).into_iter();
        all.filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "db").collect()
    };
    world.create(
        &services,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "default"},
        "spec": {"ports": [{"port": 5432}]}}),
    );
    let subsets = |ips: &[&str]| {
        let addresses: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        json!([{"addresses": addresses, "ports": [{"port": 5432, "name": "sql"}]}])
    };
    let written = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db", "namespace": "default", "labels": {"a": "b"}},
        "subsets": subsets(&["192.0.2.7", "2001:db8::7"])});
    world.create(&endpoints, written);
    let made = mirrors(&world);
    let families: Vec<&str> = made.iter().filter_map(|slice| slice["addressType"].as_str()).collect();
    assert_eq!(families.len(), 2, "one for each family: {families:?}");
    assert!(made.iter().all(|slice| slice["metadata"]["labels"]["a"] == "b" && slice["ports"][0]["name"] == "sql"));
    world.patch(&endpoints, "default", "db", json!({"subsets": subsets(&["192.0.2.8"])}));
    let made = mirrors(&world);
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["endpoints"], json!([{"addresses": ["192.0.2.8"], "conditions": {"ready": true}}]));
    world.patch(
        &endpoints,
        "default",
        "db",
        json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}),
    );
    assert!(mirrors(&world).is_empty(), "nobody wants it any more");
}

fn base64_text(value: &Value) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default()).expect("it is base64");
    String::from_utf8(bytes).expect("it is text")
}
