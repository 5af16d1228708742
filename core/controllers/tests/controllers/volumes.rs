//! Volumes and claims, told from the outside: <https://kubernetes.io/docs/concepts/storage/persistent-volumes/>.

use crate::support::World;
use apiserver::{DeleteOptions, gvr};
use object::json;

/// <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding>
#[test]
fn a_claim_gets_the_smallest_volume_that_fits() {
    let mut world = World::new();
    let (volumes, claims) = (gvr("", "v1", "persistentvolumes"), gvr("", "v1", "persistentvolumeclaims"));
    for (name, size) in [("large", "10Gi"), ("small", "1Gi"), ("middle", "5Gi")] {
        let spec = json!({"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "s",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/x"}});
        world.create(&volumes, json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}));
    }
    let phase = |world: &mut World, name: &str| world.get(&volumes, "", name).expect("it is there")["status"]["phase"].clone();
    assert_eq!(phase(&mut world, "middle"), "Available");
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "s", "resources": {"requests": {"storage": "2Gi"}}});
    world.create(&claims, json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"}, "spec": spec}));
    let claim = world.get(&claims, "default", "c").expect("it is there");
    assert_eq!((&claim["spec"]["volumeName"], &claim["status"]["phase"]), (&json!("middle"), &json!("Bound")));
    assert_eq!((&claim["status"]["capacity"]["storage"], phase(&mut world, "middle")), (&json!("5Gi"), json!("Bound")));
    world.delete(&claims, "default", "c", &DeleteOptions::default());
    assert_eq!(phase(&mut world, "middle"), "Released", "it is not given to anybody else by itself");
    assert_eq!(phase(&mut world, "small"), "Available");
}
