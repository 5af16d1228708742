"""The Kubernetes client of PyPI does what scripts and operators do with it. The cluster is $KUBECONFIG's.

Every function whose name begins with `check_` is one promise; all of them run, and the first that fails ends the program.
"""

import datetime
import sys
import threading

import yaml
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

NAMESPACE = "python"
# Nothing takes this long; without it a fault would hang the test.
LONG = 30


def refused(code, call, *arguments, **options):
    """Calls; expects this status code and returns the exception."""
    try:
        answer = call(*arguments, **options)
    except ApiException as error:
        assert error.status == code, error
        return error
    raise AssertionError(f"expected {code}, got {answer}")


def configmap(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"made-by": "python"}), data=data)


def check_versions_and_discovery():
    assert client.VersionApi().get_code().git_version.startswith("v1.35."), client.VersionApi().get_code()
    groups = [group.name for group in client.ApisApi().get_api_versions().groups]
    assert "apps" in groups and "storage.k8s.io" in groups, groups
    names = [resource.name for resource in client.AppsV1Api().get_api_resources().resources]
    assert "deployments/scale" in names, names


def check_objects_are_created_read_replaced_patched_and_deleted():
    core = client.CoreV1Api()
    made = core.create_namespaced_config_map(NAMESPACE, configmap("a", one="1"))
    assert isinstance(made.metadata.creation_timestamp, datetime.datetime)
    made.data["two"] = "2"
    replaced = core.replace_namespaced_config_map("a", NAMESPACE, made)
    assert replaced.data == {"one": "1", "two": "2"}
    conflict = refused(409, core.replace_namespaced_config_map, "a", NAMESPACE, made)
    assert "the object has been modified" in conflict.body
    patched = core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"one": None, "three": "3"}})
    assert patched.data == {"two": "2", "three": "3"}
    operations = [{"op": "replace", "path": "/data/two", "value": "zwei"}]
    patched = core.patch_namespaced_config_map("a", NAMESPACE, operations)
    assert patched.data["two"] == "zwei"
    assert core.read_namespaced_config_map("a", NAMESPACE).data == patched.data
    tried = core.create_namespaced_config_map(NAMESPACE, configmap("b"), dry_run="All")
    assert tried.metadata.uid
    refused(404, core.read_namespaced_config_map, "b", NAMESPACE)
    gone = core.delete_namespaced_config_map("a", NAMESPACE, body=client.V1DeleteOptions(propagation_policy="Background"))
    assert gone["status"] == "Success", gone
    refused(422, core.create_namespaced_config_map, NAMESPACE, configmap("Not A Name"))


def check_lists_come_in_pages_and_selections():
    core = client.CoreV1Api()
    for number in range(7):
        core.create_namespaced_config_map(NAMESPACE, configmap(f"page-{number}"))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="made-by=python", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"page-{number}" for number in range(7)], names
    one = core.list_config_map_for_all_namespaces(field_selector=f"metadata.name=page-3,metadata.namespace={NAMESPACE}")
    assert len(one.items) == 1
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="made-by=python")
    assert not core.list_namespaced_config_map(NAMESPACE, label_selector="made-by=python").items


def check_a_watch_follows_and_goes_on():
    core = client.CoreV1Api()
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    def write():
        core.create_namespaced_config_map(NAMESPACE, configmap("watched"))
        core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"a": "b"}})
        core.delete_namespaced_config_map("watched", NAMESPACE)

    writer = threading.Thread(target=write)
    seen, stream = [], watch.Watch()
    writer.start()
    for event in stream.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=start, timeout_seconds=LONG):
        assert isinstance(event["object"], client.V1ConfigMap)
        seen.append(event["type"])
        if seen[-1] == "DELETED":
            stream.stop()
    writer.join()
    assert seen == ["ADDED", "MODIFIED", "DELETED"], seen
    # From a version in the middle, until the server ends it.
    middle = watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, resource_version=start, timeout_seconds=1)
    assert [event["type"] for event in middle] == seen
    ancient = watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, resource_version="99999999", timeout_seconds=1)
    assert not list(ancient)


def check_the_first_state_can_be_watched():
    core = client.CoreV1Api()
    core.create_namespaced_config_map(NAMESPACE, configmap("first"))
    options = {
        "send_initial_events": True,
        "allow_watch_bookmarks": True,
        "resource_version_match": "NotOlderThan",
        "timeout_seconds": LONG,
    }
    stream, seen = watch.Watch(), []
    for event in stream.stream(core.list_namespaced_config_map, NAMESPACE, **options):
        annotations = event["raw_object"]["metadata"].get("annotations", {})
        seen.append(event["type"])
        if event["type"] == "BOOKMARK" and annotations.get("k8s.io/initial-events-end") == "true":
            break
    assert seen and set(seen[:-1]) == {"ADDED"}, seen
    core.delete_namespaced_config_map("first", NAMESPACE)


def check_workloads_scale_and_have_status():
    apps = client.AppsV1Api()
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "py"}),
        spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="i", ports=[client.V1ContainerPort(container_port=80)])]),
    )
    spec = client.V1DeploymentSpec(replicas=2, selector=client.V1LabelSelector(match_labels={"app": "py"}), template=template)
    apps.create_namespaced_deployment(NAMESPACE, client.V1Deployment(metadata=client.V1ObjectMeta(name="py"), spec=spec))
    scale = apps.read_namespaced_deployment_scale("py", NAMESPACE)
    scale.spec.replicas = 3
    assert apps.replace_namespaced_deployment_scale("py", NAMESPACE, scale).spec.replicas == 3
    assert apps.patch_namespaced_deployment_scale("py", NAMESPACE, {"spec": {"replicas": 1}}).spec.replicas == 1
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "b"}]}]}}}}
    patched = apps.patch_namespaced_deployment("py", NAMESPACE, patch)
    container = patched.spec.template.spec.containers[0]
    assert (container.image, container.env[0].value) == ("i", "b"), "lists are merged by their keys"
    core, stream = client.CoreV1Api(), watch.Watch()
    for event in stream.stream(core.list_namespaced_pod, NAMESPACE, label_selector="app=py", timeout_seconds=LONG):
        env = event["object"].spec.containers[0].env
        if event["type"] == "ADDED" and env and env[0].name == "A":
            stream.stop()
    apps.delete_namespaced_deployment("py", NAMESPACE, propagation_policy="Foreground")


def check_pods_are_bound_and_evicted_and_end():
    core = client.CoreV1Api()
    core.create_node(client.V1Node(metadata=client.V1ObjectMeta(name="py-node")))
    spec = client.V1PodSpec(
        containers=[client.V1Container(name="c", image="i")], scheduler_name="nobody", termination_grace_period_seconds=0
    )
    core.create_namespaced_pod(NAMESPACE, client.V1Pod(metadata=client.V1ObjectMeta(name="p"), spec=spec))
    target = client.V1ObjectReference(kind="Node", name="py-node", api_version="v1")
    binding = client.V1Binding(metadata=client.V1ObjectMeta(name="p"), target=target)
    core.create_namespaced_binding(NAMESPACE, binding, _preload_content=False)
    assert core.read_namespaced_pod("p", NAMESPACE).spec.node_name == "py-node"
    condition = {"type": "Ready", "status": "True"}
    core.patch_namespaced_pod_status("p", NAMESPACE, {"status": {"phase": "Running", "conditions": [condition]}})
    pod = core.read_namespaced_pod_status("p", NAMESPACE)
    assert pod.status.phase == "Running" and "PodScheduled" in [c.type for c in pod.status.conditions]
    core.create_namespaced_pod_eviction("p", NAMESPACE, client.V1Eviction(metadata=client.V1ObjectMeta(name="p")))
    core.delete_node("py-node")


def check_access_is_reviewed_and_tokens_identify():
    core, review = client.CoreV1Api(), client.AuthorizationV1Api()
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "robot"}})
    role = {"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]}
    rbac = client.RbacAuthorizationV1Api()
    rbac.create_namespaced_role(NAMESPACE, role)
    subject = client.RbacV1Subject(kind="ServiceAccount", name="robot", namespace=NAMESPACE)
    reference = client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="reader")
    binding = client.V1RoleBinding(metadata=client.V1ObjectMeta(name="reader"), role_ref=reference, subjects=[subject])
    rbac.create_namespaced_role_binding(NAMESPACE, binding)
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("robot", NAMESPACE, request).status.token
    settings = client.Configuration.get_default_copy()
    settings.cert_file = settings.key_file = None
    settings.api_key = {"authorization": token}
    settings.api_key_prefix = {"authorization": "Bearer"}
    with client.ApiClient(settings) as robot:
        user = f"system:serviceaccount:{NAMESPACE}:robot"
        who = client.AuthenticationV1Api(robot).create_self_subject_review(client.V1SelfSubjectReview())
        assert who.status.user_info.username == user, who
        assert client.CoreV1Api(robot).list_namespaced_config_map(NAMESPACE).items is not None
        forbidden = refused(403, client.CoreV1Api(robot).list_namespaced_secret, NAMESPACE)
        assert f'User \\"{user}\\" cannot list resource \\"secrets\\"' in forbidden.body, forbidden.body
    attributes = client.V1ResourceAttributes(namespace=NAMESPACE, verb="get", resource="configmaps")
    spec = client.V1SubjectAccessReviewSpec(user=user, resource_attributes=attributes)
    assert review.create_subject_access_review(client.V1SubjectAccessReview(spec=spec)).status.allowed


def check_dynamic_clients_apply_and_learn_new_kinds(crds):
    api = client.ApiClient()
    for document in crds:
        utils.create_from_dict(api, document)
    discovered = dynamic.DynamicClient(api)
    certificates = discovered.resources.get(api_version="certs.example.com/v1", kind="Certificate")
    spec = {"secretName": "tls", "dnsNames": ["a.example.com"], "issuerRef": {"name": "ca"}}
    body = {"apiVersion": "certs.example.com/v1", "kind": "Certificate", "metadata": {"name": "web"}, "spec": spec}
    options = {"namespace": NAMESPACE, "name": "web"}
    first = certificates.server_side_apply(body=body, field_manager="one", **options)
    assert first.spec.duration == "2160h", "defaults come from the schema"
    body["spec"] = {**spec, "secretName": "other"}
    try:
        certificates.server_side_apply(body=body, field_manager="two", **options)
        raise AssertionError("two managers, one field, no conflict")
    except ConflictError as conflict:
        assert ".spec.secretName" in conflict.summary(), conflict.summary()
    second = certificates.server_side_apply(body=body, field_manager="two", force_conflicts=True, **options)
    assert second.spec.secretName == "other"
    condition = {"type": "Ready", "status": "True", "reason": "Issued", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    certificates.status.patch(
        body={"status": {"conditions": [condition]}}, content_type="application/merge-patch+json", **options
    )
    for event in certificates.watch(namespace=NAMESPACE, timeout=LONG):
        assert event["object"].status.conditions[0].type == "Ready"
        break
    certificates.delete(**options)
    try:
        certificates.get(**options)
        raise AssertionError("it is still there")
    except NotFoundError:
        pass
    deployments = discovered.resources.get(api_version="apps/v1", kind="Deployment")
    assert "apps/v1" in deployments.group_version and not deployments.get(namespace="none").items


def check_yaml_files_can_be_created():
    documents = "apiVersion: v1\nkind: Secret\nmetadata: {name: from-yaml}\nstringData: {a: b}\n---\n" \
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: from-yaml}\n" \
        "spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}\n"
    utils.create_from_yaml(client.ApiClient(), yaml_objects=list(yaml.safe_load_all(documents)), namespace=NAMESPACE)
    assert client.CoreV1Api().read_namespaced_secret("from-yaml", NAMESPACE).data == {"a": "Yg=="}
    assert client.BatchV1Api().read_namespaced_job("from-yaml", NAMESPACE).spec.completions == 1


def check_leaders_are_elected():
    elected = []

    class Enough(Exception):
        pass

    def lead():
        elected.append(client.CoordinationV1Api().read_namespaced_lease("leader", NAMESPACE).spec.holder_identity)

    settings = electionconfig.Config(
        LeaseLock("leader", NAMESPACE, "candidate"),
        lease_duration=15, renew_deadline=10, retry_period=1, onstarted_leading=lead, onstopped_leading=None,
    )
    election = leaderelection.LeaderElection(settings)
    assert election.try_acquire_or_renew()
    lead()
    assert election.try_acquire_or_renew(), "a leader renews"
    rival = electionconfig.Config(
        LeaseLock("leader", NAMESPACE, "rival"),
        lease_duration=15, renew_deadline=10, retry_period=1, onstarted_leading=lead, onstopped_leading=None,
    )
    assert not leaderelection.LeaderElection(rival).try_acquire_or_renew()
    assert elected == ["candidate"]


def main():
    config.load_kube_config()
    client.CoreV1Api().create_namespace({"metadata": {"name": NAMESPACE}})
    with open(sys.argv[1], encoding="utf-8") as file:
        crds = list(yaml.safe_load_all(file))
    checks = [(name, check) for name, check in globals().items() if name.startswith("check_")]
    for name, check in checks:
        check(crds) if "new_kinds" in name else check()
        print("ok", name.removeprefix("check_").replace("_", " "), flush=True)
    client.CoreV1Api().delete_namespace(NAMESPACE)


if __name__ == "__main__":
    main()
