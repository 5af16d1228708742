//! Volumes and the claims on them, from the claim to the end of the volume.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#lifecycle-of-a-volume-and-claim>

use crate::support::{World, pods};
use apiserver::{DeleteOptions, gvr};
use object::{GroupVersionResource, Value, json};

fn claims() -> GroupVersionResource {
    gvr("", "v1", "persistentvolumeclaims")
}

fn volumes() -> GroupVersionResource {
    gvr("", "v1", "persistentvolumes")
}

fn storage(resource: &'static str) -> GroupVersionResource {
    gvr("storage.k8s.io", "v1", resource)
}

fn class(world: &mut World, name: &str, more: Value) {
    let mut class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": wasmkube_controllers::PROVISIONER});
    for (key, value) in more.as_object().unwrap() {
        class[key] = value.clone();
    }
    world.create(&storage("storageclasses"), class);
}

fn claim(world: &mut World, name: &str, class: Value, size: &str) {
    let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}});
    if !class.is_null() {
        spec["storageClassName"] = class;
    }
    let meta = json!({"name": name, "namespace": "default"});
    world.create(&claims(), json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}));
}

fn volume(world: &mut World, name: &str, size: &str, more: Value) {
    let mut spec = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}, "storageClassName": "manual"});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    world.create(&volumes(), json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}));
}

fn pod(world: &mut World, name: &str, node: Option<&str>, volume: Value) {
    let mut volume = volume;
    volume["name"] = json!("data");
    let mut spec = json!({"containers": [{"name": "c", "image": "i"}], "volumes": [volume]});
    if let Some(node) = node {
        spec["nodeName"] = json!(node);
    }
    let meta = json!({"name": name, "namespace": "default"});
    world.create(&pods(), json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}));
}

fn get_claim(world: &mut World, name: &str) -> Value {
    world.get(&claims(), "default", name).expect("the claim")
}

fn phase(world: &mut World, resource: &GroupVersionResource, name: &str) -> String {
    let namespace = if *resource == claims() { "default" } else { "" };
    world.get(resource, namespace, name).map_or(String::new(), |o| o["status"]["phase"].as_str().unwrap_or_default().to_owned())
}

fn at_once() -> DeleteOptions {
    DeleteOptions { grace_period_seconds: Some(0), ..Default::default() }
}

/// <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#static>
#[test]
fn the_smallest_volume_that_fits_is_bound() {
    let mut world = World::new();
    volume(&mut world, "large", "10Gi", json!({}));
    volume(&mut world, "small", "1Gi", json!({}));
    volume(&mut world, "middle", "5Gi", json!({"persistentVolumeReclaimPolicy": "Retain"}));
    claim(&mut world, "data", json!("manual"), "3Gi");
    let data = get_claim(&mut world, "data");
    assert_eq!([&data["spec"]["volumeName"], &data["status"]["phase"]], ["middle", "Bound"]);
    assert_eq!(data["status"]["capacity"]["storage"], "5Gi");
    assert_eq!(phase(&mut world, &volumes(), "middle"), "Bound");
    world.delete(&claims(), "default", "data", &Default::default());
    assert_eq!(phase(&mut world, &volumes(), "middle"), "Released", "Retain keeps what is on it");
    claim(&mut world, "more", json!("manual"), "2Gi");
    assert_eq!(get_claim(&mut world, "more")["spec"]["volumeName"], "large", "a released volume is nobody's");
    claim(&mut world, "huge", json!("manual"), "1Ti");
    volume(&mut world, "new", "2Ti", json!({}));
    assert_eq!(get_claim(&mut world, "huge")["spec"]["volumeName"], "new", "who waits gets what comes");
    world.delete(&volumes(), "", "new", &Default::default());
    world.patch(&volumes(), "", "new", json!({"metadata": {"finalizers": null}}));
    assert_eq!(phase(&mut world, &claims(), "huge"), "Lost");
}

#[test]
fn a_claim_may_name_its_volume_and_a_volume_its_claim() {
    let mut world = World::new();
    let kept = json!({"namespace": "default", "name": "mine"});
    volume(&mut world, "kept", "1Gi", json!({"claimRef": kept}));
    claim(&mut world, "other", json!("manual"), "1Gi");
    assert_eq!(phase(&mut world, &claims(), "other"), "Pending");
    claim(&mut world, "mine", json!("manual"), "1Gi");
    assert_eq!(get_claim(&mut world, "mine")["spec"]["volumeName"], "kept");
    volume(&mut world, "tiny", "1Mi", json!({}));
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "tiny",
        "storageClassName": "manual"});
    let meta = json!({"name": "wish", "namespace": "default"});
    world.create(&claims(), json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}));
    assert_eq!(world.events("wish"), ["VolumeMismatch: Cannot bind to requested volume \"tiny\": requested PV is too small"]);
}

/// <https://kubernetes.io/docs/concepts/storage/dynamic-provisioning/>
#[test]
fn a_class_makes_volumes_and_unmakes_them() {
    let mut world = World::new();
    class(&mut world, "fast", json!({}));
    claim(&mut world, "data", json!("fast"), "1Gi");
    let data = get_claim(&mut world, "data");
    let name = format!("pvc-{}", data["metadata"]["uid"].as_str().unwrap());
    assert_eq!([&data["status"]["phase"], &data["spec"]["volumeName"]], [&json!("Bound"), &json!(name)]);
    assert_eq!(data["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"], "wasmkube.dev/hostpath");
    let made = world.get(&volumes(), "", &name).expect("the volume");
    assert_eq!(made["spec"]["persistentVolumeReclaimPolicy"], "Delete");
    let finalizers = json!(["external-provisioner.volume.kubernetes.io/finalizer", "kubernetes.io/pv-protection"]);
    assert_eq!(made["metadata"]["finalizers"], finalizers);
    assert_eq!(
        world.events("data"),
        [
            "ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'wasmkube.dev/hostpath' \
             or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is \
             running and correctly registered."
                .to_owned(),
            "Provisioning: External provisioner is provisioning volume for claim \"default/data\"".to_owned(),
            format!("ProvisioningSucceeded: Successfully provisioned volume {name}"),
        ]
    );
    world.delete(&claims(), "default", "data", &Default::default());
    assert_eq!(world.get(&volumes(), "", &name), None);
}

/// <https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode>
#[test]
fn a_claim_may_wait_for_its_first_pod() {
    let mut world = World::new();
    let node =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "host"}}});
    world.create(&gvr("", "v1", "nodes"), node);
    class(&mut world, "late", json!({"volumeBindingMode": "WaitForFirstConsumer"}));
    claim(&mut world, "data", json!("late"), "1Gi");
    assert_eq!(world.events("data"), ["WaitForFirstConsumer: waiting for first consumer to be created before binding"]);
    pod(&mut world, "user", None, json!({"persistentVolumeClaim": {"claimName": "data"}}));
    assert_eq!(world.events("data")[1], "WaitForPodScheduled: waiting for pod user to be scheduled");
    assert_eq!(phase(&mut world, &claims(), "data"), "Pending");
    world.patch(&claims(), "default", "data", json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "n"}}}));
    let bound = get_claim(&mut world, "data")["spec"]["volumeName"].as_str().expect("bound").to_owned();
    let made = world.get(&volumes(), "", &bound).unwrap();
    let term = &made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!(*term, json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["host"]}));
}

#[test]
fn who_cannot_provision_is_said() {
    let mut world = World::new();
    claim(&mut world, "none", json!(""), "1Gi");
    claim(&mut world, "unknown", json!("unknown"), "1Gi");
    class(&mut world, "local", json!({"provisioner": "kubernetes.io/no-provisioner"}));
    claim(&mut world, "local", json!("local"), "1Gi");
    let said = ["none", "unknown", "local"].map(|name| world.events(name).concat());
    assert_eq!(
        said,
        [
            "FailedBinding: no persistent volumes available for this claim and no storage class is set",
            "ProvisioningFailed: storageclass.storage.k8s.io \"unknown\" not found",
            "ProvisioningFailed: no volume plugin matched name: kubernetes.io/no-provisioner",
        ]
    );
    volume(&mut world, "static", "1Gi", json!({"persistentVolumeReclaimPolicy": "Delete"}));
    claim(&mut world, "user", json!("manual"), "1Gi");
    world.delete(&claims(), "default", "user", &Default::default());
    assert_eq!(phase(&mut world, &volumes(), "static"), "Failed");
    let why = "VolumeFailedDelete: host_path deleter only supports /tmp/.+ but received provided /data";
    assert_eq!(world.events("static"), [why]);
}

/// <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#retroactive-default-storageclass-assignment>
#[test]
fn a_default_class_that_comes_later_counts_too() {
    let mut world = World::new();
    claim(&mut world, "early", Value::Null, "1Gi");
    claim(&mut world, "never", json!(""), "1Gi");
    let metadata = json!({"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}});
    class(&mut world, "standard", json!({"metadata": metadata}));
    let early = get_claim(&mut world, "early");
    assert_eq!([&early["spec"]["storageClassName"], &early["status"]["phase"]], ["standard", "Bound"]);
    assert_eq!(phase(&mut world, &claims(), "never"), "Pending", "an empty class is none");
}

/// <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims>
#[test]
fn a_claim_grows() {
    let mut world = World::new();
    class(&mut world, "elastic", json!({"allowVolumeExpansion": true}));
    claim(&mut world, "data", json!("elastic"), "1Gi");
    world.patch(&claims(), "default", "data", json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}}));
    let data = get_claim(&mut world, "data");
    assert_eq!(data["status"]["capacity"]["storage"], "3Gi");
    assert_eq!(data["status"]["conditions"], Value::Null);
    let volume = world.get(&volumes(), "", data["spec"]["volumeName"].as_str().unwrap()).unwrap();
    assert_eq!(volume["spec"]["capacity"]["storage"], "3Gi");
    assert!(world.events("data").contains(&"VolumeResizeSuccessful: Resize volume succeeded".to_owned()));
}

/// <https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes>
#[test]
fn an_ephemeral_volume_lives_with_its_pod() {
    let mut world = World::new();
    class(&mut world, "fast", json!({}));
    let spec =
        json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "fast"});
    pod(
        &mut world,
        "web",
        Some("n"),
        json!({"ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": spec}}}),
    );
    let made = get_claim(&mut world, "web-data");
    assert_eq!([&made["metadata"]["labels"]["a"], &made["status"]["phase"]], ["b", "Bound"]);
    let owner = &made["metadata"]["ownerReferences"][0];
    assert_eq!([&owner["kind"], &owner["name"], &owner["controller"]], [&json!("Pod"), &json!("web"), &json!(true)]);
    world.delete(&pods(), "default", "web", &at_once());
    assert_eq!(world.get(&claims(), "default", "web-data"), None);
    assert_eq!(world.list(&volumes()), Vec::<Value>::new());
}

/// <https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/volume-attachment-v1/>
#[test]
fn a_volume_is_attached_to_one_node_at_a_time() {
    let mut world = World::new();
    let annotations = json!({"volumes.kubernetes.io/controller-managed-attach-detach": "true"});
    for name in ["a", "b"] {
        world.create(
            &gvr("", "v1", "nodes"),
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": annotations}}),
        );
    }
    let csi = json!({"driver": "disk.example.com", "volumeHandle": "disk-1"});
    volume(&mut world, "disk", "1Gi", json!({"hostPath": null, "csi": csi}));
    claim(&mut world, "data", json!("manual"), "1Gi");
    pod(&mut world, "one", Some("a"), json!({"persistentVolumeClaim": {"claimName": "data"}}));
    let resource = storage("volumeattachments");
    let made = world.list(&resource);
    assert_eq!(made.len(), 1);
    let source = json!({"persistentVolumeName": "disk"});
    assert_eq!(made[0]["spec"], json!({"attacher": "disk.example.com", "nodeName": "a", "source": source}));
    // The attacher has done it.
    let name = made[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let admin = apiserver::UserInfo::new("admin", &["system:masters"]);
    let mut done = made[0].clone();
    done["status"] = json!({"attached": true});
    world.api.client(world.now, &admin).update_status(&resource, "", &name, done).expect("attached");
    world.settle();
    let node = world.get(&gvr("", "v1", "nodes"), "", "a").unwrap();
    assert_eq!(
        node["status"]["volumesAttached"],
        json!([{"name": "kubernetes.io/csi/disk.example.com^disk-1", "devicePath": ""}])
    );
    assert!(
        world.events("one").contains(&"SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume \"disk\" ".to_owned())
    );

    pod(&mut world, "two", Some("b"), json!({"persistentVolumeClaim": {"claimName": "data"}}));
    assert_eq!(world.list(&resource).len(), 1);
    assert!(world.events("two")[0].starts_with("FailedAttachVolume: Multi-Attach error for volume \"disk\""));
    world.delete(&pods(), "default", "one", &at_once());
    let now = world.list(&resource);
    assert_eq!((now.len(), &now[0]["spec"]["nodeName"]), (1, &json!("b")));
    assert_eq!(world.get(&gvr("", "v1", "nodes"), "", "a").unwrap()["status"]["volumesAttached"], Value::Null);
}

/// VolumeAttachment Conformance should run through the lifecycle of a VolumeAttachment
#[test]
fn an_attachment_that_somebody_else_made_is_left_alone() {
    let mut world = World::new();
    world.create(&gvr("", "v1", "nodes"), json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}));
    let spec = json!({"attacher": "e2e", "nodeName": "a", "source": {"persistentVolumeName": "pv"}});
    let made = json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "va-1"}, "spec": spec});
    world.create(&storage("volumeattachments"), made);
    assert!(world.get(&storage("volumeattachments"), "", "va-1").is_some());
}

#[test]
fn a_class_of_attributes_stays_while_it_is_used() {
    let mut world = World::new();
    let resource = storage("volumeattributesclasses");
    let vac = json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "gold"},
        "driverName": "d", "parameters": {"a": "b"}});
    world.create(&resource, vac);
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "",
        "volumeAttributesClassName": "gold"});
    let meta = json!({"name": "data", "namespace": "default"});
    world.create(&claims(), json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}));
    world.delete(&resource, "", "gold", &Default::default());
    assert!(world.get(&resource, "", "gold").is_some());
    world.delete(&claims(), "default", "data", &Default::default());
    assert!(world.get(&resource, "", "gold").is_none());
}
