//! The life of a pod, fact by fact: what goes into the kubelet, and what it wishes for.

use std::collections::BTreeMap;
use std::sync::Arc;

use object::{Bytes, Quantity, Time, Value, json};
use wasmkube_kubelet::io::{
    ContainerId, Exit, FileContent, FoundContainer, FoundPod, Hook, ImageInfo, Output, ProbeResult, PullError, PulledImage,
    StartedContainer, VolumeSource,
};
use wasmkube_kubelet::{Config, Input, Kubelet, Pod};

/// A kubelet under the hand of a test: one second of patience, every wish written down as a line.
struct Node {
    kubelet: Kubelet,
    now: Time,
    wishes: Vec<Output>,
}

impl Node {
    fn new() -> Self {
        Node::with(Node::config())
    }

    fn config() -> Config {
        let amounts = [("cpu", "2"), ("memory", "1Gi"), ("pods", "3")];
        let allocatable: BTreeMap<String, Quantity> =
            amounts.iter().map(|(name, amount)| ((*name).to_owned(), Quantity::parse(amount).unwrap())).collect();
        Config {
            node_name: "n".to_owned(),
            addresses: vec!["10.0.0.1".to_owned()],
            runtime_version: "test://1".to_owned(),
            capacity: allocatable.clone(),
            allocatable,
            ..Config::default()
        }
    }

    fn with(config: Config) -> Self {
        let mut node = Node { kubelet: Kubelet::new(config), now: Time::from_secs(1_000), wishes: Vec::new() };
        node.tell(Input::Image("img".into(), ImageInfo { id: "img@sha256:1".into(), size: 1 }));
        node
    }

    /// Hands in a fact and returns what the kubelet then wishes, in short words.
    fn tell(&mut self, input: Input) -> Vec<String> {
        self.kubelet.handle(self.now, input);
        self.poll()
    }

    fn poll(&mut self) -> Vec<String> {
        let wishes = self.kubelet.poll(self.now);
        let words = wishes.iter().map(word).collect();
        self.wishes.extend(wishes);
        words
    }

    fn after(&mut self, seconds: u64) -> Vec<String> {
        self.now = self.now.plus_secs(seconds);
        self.poll()
    }

    /// The last status that was written.
    fn status(&self) -> Value {
        let patch = |wish: &Output| if let Output::PatchStatus(_, patch) = wish { Some(patch["status"].clone()) } else { None };
        self.wishes.iter().rev().find_map(patch).unwrap_or_default()
    }

    fn run(&mut self, object: &Value) -> Vec<String> {
        let pod = Arc::new(Pod::of(object).expect("a pod"));
        let uid = pod.uid.clone();
        let mut words = self.tell(Input::Pod(pod));
        words.extend(self.tell(Input::Volumes(uid.clone(), Ok(()))));
        words.extend(self.tell(Input::Sandbox(uid, Ok(vec!["10.1.0.2".to_owned()]))));
        words
    }

    fn started(&mut self, name: &str, attempt: u32) -> Vec<String> {
        let started = StartedContainer { runtime_id: format!("{name}{attempt}"), at: self.now };
        self.tell(Input::Started(id(name, attempt), Ok(started)))
    }

    fn exited(&mut self, name: &str, attempt: u32, code: i32) -> Vec<String> {
        let exit = Exit { code, signal: 0, oom_killed: false, started_at: None, at: self.now, message: String::new() };
        self.tell(Input::Exited(id(name, attempt), exit))
    }
}

fn word(wish: &Output) -> String {
    match wish {
        Output::CreateSandbox(_) => "sandbox".to_owned(),
        Output::RemoveSandbox(_) => "remove sandbox".to_owned(),
        Output::Materialise(..) => "volumes".to_owned(),
        Output::PullImage { image, .. } => format!("pull {image}"),
        Output::StartContainer(start) => format!("start {}#{}", start.id.name, start.id.attempt),
        Output::StopContainer { container, signal } => format!("{signal} {}", container.name),
        Output::KillContainer(container) => format!("SIGKILL {}", container.name),
        Output::RemoveContainer(container) => format!("remove {}#{}", container.name, container.attempt),
        Output::RunHook { container, hook, .. } => format!("{hook:?} {}", container.name),
        Output::Probe { container, probe, .. } => format!("{probe:?} {}", container.name),
        Output::Fetch(reference) => format!("fetch {:?} {}", reference.kind, reference.name),
        Output::Forget(reference) => format!("forget {:?} {}", reference.kind, reference.name),
        Output::PatchStatus(_, patch) => format!("status {}", patch["status"]["phase"].as_str().unwrap_or("")),
        Output::DeletePod(_) => "delete pod".to_owned(),
        Output::Event(event) => format!("event {}", event.reason),
    }
}

fn id(name: &str, attempt: u32) -> ContainerId {
    ContainerId { pod: "u".into(), name: name.into(), attempt }
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "d", "uid": "u", "generation": 1}, "spec": spec, "status": {"phase": "Pending"}})
}

fn one(more: Value) -> Value {
    let mut container = json!({"name": "c", "image": "img"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    pod(json!({"containers": [container]}))
}

#[test]
fn a_simple_pod() {
    let mut node = Node::new();
    assert_eq!(node.run(&one(json!({}))), ["sandbox", "status Pending", "event Pulled", "start c#0", "status Pending"]);
    assert_eq!(node.started("c", 0), ["event Created", "event Started", "status Running"]);
    let status = node.status();
    assert_eq!(status["podIP"], "10.1.0.2");
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["containerStatuses"][0]["containerID"], "test://c0");
    assert_eq!(node.after(3_600), Vec::<String>::new(), "nothing happens by itself");
}

#[test]
fn deletion_asks_waits_kills_and_then_deletes() {
    let mut node = Node::new();
    let mut object = one(json!({}));
    node.run(&object);
    node.started("c", 0);
    object["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z".into();
    object["metadata"]["deletionGracePeriodSeconds"] = 5.into();
    let pod = Arc::new(Pod::of(&object).unwrap());
    assert_eq!(node.tell(Input::Pod(pod)), ["event Killing", "SIGTERM c"]);
    assert_eq!(node.after(4), Vec::<String>::new());
    assert_eq!(node.after(1), ["SIGKILL c"]);
    assert_eq!(node.exited("c", 0, 137), ["status Failed", "delete pod"]);
    assert_eq!(node.tell(Input::PodGone("u".into())), ["remove sandbox"]);
}

#[test]
fn restart_policies() {
    for (policy, code, again, phase) in [
        ("Always", 0, true, "Running"),
        ("Always", 1, true, "Running"),
        ("OnFailure", 0, false, "Succeeded"),
        ("OnFailure", 1, true, "Running"),
        ("Never", 0, false, "Succeeded"),
        ("Never", 1, false, "Failed"),
    ] {
        let mut node = Node::new();
        let mut object = one(json!({}));
        object["spec"]["restartPolicy"] = policy.into();
        node.run(&object);
        node.started("c", 0);
        let words = node.exited("c", 0, code);
        assert_eq!(words.contains(&"start c#1".to_owned()), again, "{policy} {code}: {words:?}");
        assert_eq!(node.status()["phase"], phase, "{policy} {code}");
    }
}

#[test]
fn crashes_back_off_and_old_runs_are_cleared_away() {
    let mut node = Node::new();
    node.run(&one(json!({})));
    node.started("c", 0);
    assert!(node.exited("c", 0, 1).contains(&"start c#1".to_owned()), "the first restart is immediate");
    node.started("c", 1);
    assert_eq!(node.exited("c", 1, 1), ["event BackOff", "status Running"]);
    let state = |node: &Node| node.status()["containerStatuses"][0]["state"].clone();
    assert_eq!(state(&node)["terminated"]["reason"], "Error", "first it shows how it ended");
    assert_eq!(node.after(1), ["status Running"]);
    assert_eq!(state(&node)["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(node.after(8), Vec::<String>::new());
    assert_eq!(node.after(1), ["remove c#0", "event Pulled", "start c#2", "status Running"]);
    assert_eq!(node.exited("c", 0, 0), Vec::<String>::new(), "news of an old run says nothing");
    // The next time, the kubelet comes back to it after ten seconds.
    node.started("c", 2);
    node.exited("c", 2, 1);
    assert_eq!(node.after(9), Vec::<String>::new());
    assert_eq!(state(&node)["terminated"]["reason"], "Error");
    assert_eq!(node.after(1), ["status Running"]);
    assert_eq!(state(&node)["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(node.after(10), ["remove c#1", "event Pulled", "start c#3", "status Running"]);
}

fn sized(name: &str, cpu: &str, cpu_policy: &str, generation: i64) -> Arc<Pod> {
    let object = json!({
        "metadata": {"name": name, "namespace": "d", "uid": name, "generation": generation},
        "spec": {"restartPolicy": "OnFailure", "containers": [{
            "name": "c", "image": "img", "resources": {"requests": {"cpu": cpu}},
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": cpu_policy}],
        }]},
        "status": {"phase": "Pending"},
    });
    Arc::new(Pod::of(&object).expect("a pod"))
}

#[test]
fn resources_change_when_the_node_has_room() {
    let mut node = Node::with(Config { resizes_in_place: true, ..Node::config() });
    for name in ["a", "b"] {
        node.tell(Input::Pod(sized(name, "800m", "NotRequired", 1)));
        node.tell(Input::Sandbox(name.into(), Ok(vec!["10.1.0.2".to_owned()])));
        let id = ContainerId { pod: name.into(), name: "c".into(), attempt: 0 };
        let started = StartedContainer { runtime_id: name.to_owned(), at: node.now };
        node.tell(Input::Started(id, Ok(started)));
    }
    let pending = |node: &Node| {
        let conditions = node.status()["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|c| c["type"] == "PodResizePending").unwrap_or_default();
        (found["reason"].as_str().unwrap_or("").to_owned(), found["message"].as_str().unwrap_or("").to_owned())
    };
    let cpu = |node: &Node| node.status()["containerStatuses"][0]["resources"]["requests"]["cpu"].clone();
    node.tell(Input::Pod(sized("a", "3", "NotRequired", 2)));
    let why = "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000";
    assert_eq!((pending(&node), cpu(&node)), (("Infeasible".to_owned(), why.to_owned()), json!("800m")));
    node.tell(Input::Pod(sized("a", "1500m", "NotRequired", 3)));
    let why = "Node didn't have enough resource: cpu, requested: 1500, used: 800, capacity: 2000";
    assert_eq!((pending(&node), cpu(&node)), (("Deferred".to_owned(), why.to_owned()), json!("800m")));
    assert_eq!(node.status()["observedGeneration"], 3);
    // What was put off is done when another pod goes.
    node.tell(Input::PodGone("b".into()));
    node.tell(Input::Exited(
        ContainerId { pod: "b".into(), name: "c".into(), attempt: 0 },
        Exit { code: 0, signal: 0, oom_killed: false, started_at: None, at: node.now, message: String::new() },
    ));
    assert_eq!((pending(&node).0, cpu(&node)), (String::new(), json!("1500m")));
    assert_eq!(node.status()["containerStatuses"][0]["restartCount"], 0);
}

#[test]
fn a_container_is_started_anew_for_its_resources_if_it_asks_for_that_or_must() {
    for (in_place, policy, restarts) in
        [(true, "NotRequired", false), (true, "RestartContainer", true), (false, "NotRequired", true)]
    {
        let mut node = Node::with(Config { resizes_in_place: in_place, ..Node::config() });
        node.tell(Input::Pod(sized("u", "1", policy, 1)));
        node.tell(Input::Sandbox("u".into(), Ok(vec!["10.1.0.2".to_owned()])));
        node.started("c", 0);
        let words = node.tell(Input::Pod(sized("u", "2", policy, 2)));
        assert_eq!(words.contains(&"SIGTERM c".to_owned()), restarts, "{in_place} {policy}");
        if restarts {
            // It comes back although it ends well and its policy is OnFailure.
            assert!(node.exited("c", 0, 0).contains(&"start c#1".to_owned()));
            node.started("c", 1);
        }
        let status = node.status()["containerStatuses"][0].clone();
        assert_eq!(status["restartCount"], u32::from(restarts), "{in_place} {policy}");
        assert_eq!(status["resources"]["requests"]["cpu"], "2", "{in_place} {policy}");
    }
}

/// A kubelet stops and starts in one go, and says nothing in between.
#[test]
fn a_container_whose_image_changes_is_replaced_at_once_for_who_looks() {
    let mut node = Node::new();
    node.tell(Input::Image("new".into(), ImageInfo { id: "new@sha256:1".into(), size: 1 }));
    node.run(&one(json!({})));
    node.started("c", 0);
    let changed = Arc::new(Pod::of(&one(json!({"image": "new"}))).expect("a pod"));
    assert_eq!(node.tell(Input::Pod(changed)), ["event Killing", "SIGTERM c"]);
    assert_eq!(node.exited("c", 0, 143), ["event Pulled", "start c#1"]);
    assert_eq!(node.started("c", 1), ["event Created", "event Started", "status Running"]);
    let status = node.status()["containerStatuses"][0].clone();
    assert_eq!((&status["ready"], &status["restartCount"], &status["image"]), (&json!(true), &json!(1), &json!("new")));
}

#[test]
fn a_container_that_fails_its_probe_for_good_is_reported() {
    let mut node = Node::new();
    let mut object = pod(json!({"restartPolicy": "Never", "containers": [
        {"name": "c", "image": "img", "livenessProbe": {"tcpSocket": {"port": 80}, "failureThreshold": 1}},
        {"name": "other", "image": "img"},
    ]}));
    object["spec"]["terminationGracePeriodSeconds"] = 5.into();
    node.run(&object);
    node.started("c", 0);
    node.started("other", 0);
    node.after(10);
    let failure = ProbeResult::Failure(String::new());
    node.tell(Input::Probed(id("c", 0), wasmkube_kubelet::io::ProbeKind::Liveness, failure));
    assert!(node.exited("c", 0, 137).contains(&"status Running".to_owned()));
    assert_eq!(node.status()["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
}

#[test]
fn paths_from_expressions_stay_in_their_volume() {
    for (value, why) in [
        ("/tmp", "error SubPath `/tmp` must not be an absolute path"),
        ("a/../..", "unable to provision SubPath `a/../..`: must not contain '..'"),
        ("a..b", ""),
    ] {
        let mut node = Node::new();
        node.run(&one(json!({
            "env": [{"name": "P", "value": value}],
            "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(P)"}],
        })));
        let waiting = node.status()["containerStatuses"][0]["state"]["waiting"].clone();
        assert_eq!(waiting["message"].as_str().unwrap_or(""), why, "{value}");
        assert_eq!(waiting["reason"] == "CreateContainerConfigError", !why.is_empty(), "{value}");
    }
}

#[test]
fn image_pull_policies() {
    for (policy, present, words) in [
        ("IfNotPresent", true, vec!["event Pulled", "start c#0"]),
        ("IfNotPresent", false, vec!["event Pulling", "pull other"]),
        ("Always", true, vec!["event Pulling", "pull img"]),
        ("Never", true, vec!["event Pulled", "start c#0"]),
        ("Never", false, vec!["event Failed"]),
    ] {
        let mut node = Node::new();
        let image = if present { "img" } else { "other" };
        let all = node.run(&one(json!({"image": image, "imagePullPolicy": policy})));
        assert_eq!(
            all.iter().filter(|w| !w.starts_with("status") && *w != "sandbox").collect::<Vec<_>>(),
            words,
            "{policy} {present}"
        );
    }
}

#[test]
fn a_failed_pull_is_tried_again() {
    let mut node = Node::new();
    node.run(&one(json!({"image": "other"})));
    let error = PullError { invalid_name: false, message: "no such host".to_owned() };
    assert_eq!(node.tell(Input::Pulled("other".into(), Err(error))), ["event Failed", "event Failed", "status Pending"]);
    assert_eq!(
        node.status()["containerStatuses"][0]["state"]["waiting"],
        json!({"reason": "ErrImagePull", "message": "no such host"})
    );
    assert_eq!(node.after(1), ["event BackOff", "event Failed", "status Pending"]);
    let waiting =
        json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image \"other\": ErrImagePull: no such host"});
    assert_eq!(node.status()["containerStatuses"][0]["state"]["waiting"], waiting);
    assert_eq!(node.after(9), ["event Pulling", "pull other", "status Pending"]);
    let pulled = PulledImage { info: ImageInfo { id: "other@1".into(), size: 7 }, millis: 1_500 };
    assert!(node.tell(Input::Pulled("other".into(), Ok(pulled))).contains(&"start c#0".to_owned()));
}

#[test]
fn nothing_starts_in_a_pod_that_was_deleted_while_its_image_was_on_its_way() {
    let mut node = Node::new();
    let mut object = one(json!({"image": "other"}));
    node.run(&object);
    object["metadata"]["deletionTimestamp"] = "1970-01-01T00:17:10Z".into();
    object["metadata"]["deletionGracePeriodSeconds"] = 30.into();
    node.tell(Input::Pod(Arc::new(Pod::of(&object).unwrap())));
    let pulled = PulledImage { info: ImageInfo { id: "other@1".into(), size: 7 }, millis: 1_500 };
    let words = node.tell(Input::Pulled("other".into(), Ok(pulled)));
    assert!(!words.iter().any(|word| word.starts_with("start")), "{words:?}");
}

#[test]
fn too_much_is_refused() {
    let mut node = Node::new();
    let words = node.tell(Input::Pod(Arc::new(Pod::of(&one(json!({"resources": {"requests": {"cpu": "3"}}}))).unwrap())));
    assert_eq!(words, ["event OutOfcpu"]);
    assert_eq!(node.after(1), ["status Failed"]);
    let status = node.status();
    assert_eq!(status["reason"], "OutOfcpu");
    let message = "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000";
    assert_eq!(status["message"], message);
}

#[test]
fn environment_is_resolved_before_the_start() {
    let mut node = Node::new();
    let words = node.run(&one(json!({
        "command": ["run", "$(GREETING)", "$(UNKNOWN)"],
        "env": [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "GREETING", "value": "hello $(NAME)"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "colour"}}},
            {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
    })));
    assert!(words.contains(&"fetch ConfigMap cm".to_owned()) && !words.contains(&"start c#0".to_owned()), "{words:?}");
    let reference = node.wishes.iter().find_map(|w| if let Output::Fetch(r) = w { Some(r.clone()) } else { None }).unwrap();
    node.tell(Input::Fetched(reference.clone(), None));
    let waiting = json!({"reason": "CreateContainerConfigError", "message": "configmap \"cm\" not found"});
    assert_eq!(node.status()["containerStatuses"][0]["state"]["waiting"], waiting);
    let data = BTreeMap::from([("colour".to_owned(), Bytes::from_static(b"red"))]);
    node.tell(Input::Fetched(reference, Some(Arc::new(data))));
    let start = node.wishes.iter().find_map(|w| if let Output::StartContainer(s) = w { Some(s.clone()) } else { None }).unwrap();
    assert_eq!(start.command, ["run", "hello p", "$(UNKNOWN)"]);
    let env: BTreeMap<String, String> = start.env.into_iter().collect();
    for (name, value) in [("NAME", "p"), ("IP", "10.1.0.2"), ("COLOUR", "red"), ("CPUS", "2")] {
        assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn volumes_are_described_with_their_contents() {
    let mut node = Node::new();
    let object = pod(json!({
        "serviceAccountName": "default",
        "containers": [{"name": "c", "image": "img", "volumeMounts": [{"name": "all", "mountPath": "/v", "readOnly": true}]}],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}},
            {"name": "all", "projected": {"sources": [
                {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
            ]}},
        ],
    }));
    node.tell(Input::Pod(Arc::new(Pod::of(&object).unwrap())));
    let contents =
        node.wishes.iter().find_map(|w| if let Output::Materialise(_, v) = w { Some(v.clone()) } else { None }).unwrap();
    assert_eq!(contents[0].source, VolumeSource::EmptyDir { memory: false, size_limit: Some(1 << 20) });
    let VolumeSource::Files(files) = &contents[1].source else { panic!("not files") };
    assert_eq!((files[0].path.as_str(), &files[0].content), ("ns", &FileContent::Bytes(Bytes::from_static(b"d"))));
    assert!(matches!(&files[1].content, FileContent::ServiceAccountToken { expiration_seconds: 3607, .. }));
}

#[test]
fn hooks_come_before_ready_and_before_the_signal() {
    let mut node = Node::new();
    let hook = json!({"httpGet": {"path": "/", "port": 80}});
    let mut object = one(json!({"lifecycle": {"postStart": hook, "preStop": hook}}));
    node.run(&object);
    assert!(node.started("c", 0).contains(&"PostStart c".to_owned()));
    assert_eq!(node.status()["phase"], "Pending");
    assert_eq!(node.tell(Input::HookDone(id("c", 0), Hook::PostStart, Ok(()))), ["status Running"]);
    object["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z".into();
    object["metadata"]["deletionGracePeriodSeconds"] = 30.into();
    let pod = Arc::new(Pod::of(&object).unwrap());
    assert_eq!(node.tell(Input::Pod(pod)), ["event Killing", "PreStop c"]);
    assert_eq!(node.tell(Input::HookDone(id("c", 0), Hook::PreStop, Ok(()))), ["SIGTERM c"]);
}

#[test]
fn startup_probes_hold_the_others_back() {
    let mut node = Node::new();
    let probe = json!({"tcpSocket": {"port": 80}, "periodSeconds": 5, "failureThreshold": 2});
    node.run(&one(json!({"startupProbe": probe, "livenessProbe": probe, "readinessProbe": probe})));
    let words = node.started("c", 0);
    assert!(words.contains(&"Startup c".to_owned()) && !words.iter().any(|w| w.starts_with("Liveness")), "{words:?}");
    let startup = wasmkube_kubelet::io::ProbeKind::Startup;
    let words = node.tell(Input::Probed(id("c", 0), startup, ProbeResult::Success));
    assert_eq!(words, ["Liveness c", "Readiness c", "status Running"]);
    let readiness = wasmkube_kubelet::io::ProbeKind::Readiness;
    node.tell(Input::Probed(id("c", 0), readiness, ProbeResult::Success));
    assert_eq!(node.status()["containerStatuses"][0]["ready"], true);
}

#[test]
fn the_deadline_of_a_pod() {
    let mut node = Node::new();
    let mut object = one(json!({}));
    object["spec"]["activeDeadlineSeconds"] = 10.into();
    node.run(&object);
    node.started("c", 0);
    assert_eq!(node.after(10), ["event DeadlineExceeded", "event Killing", "SIGTERM c", "status Failed"]);
    assert_eq!(node.status()["reason"], "DeadlineExceeded");
}

#[test]
fn after_a_restart_running_containers_are_taken_over() {
    let mut node = Node::new();
    let container = FoundContainer {
        id: id("c", 3),
        runtime_id: "old".to_owned(),
        image_id: "img@1".into(),
        started_at: Time::from_secs(900),
        exit: None,
    };
    let stray = FoundPod {
        uid: "gone".into(),
        namespace: "d".into(),
        name: "gone".into(),
        ips: Vec::new(),
        containers: vec![FoundContainer { id: ContainerId { pod: "gone".into(), ..id("c", 0) }, ..container.clone() }],
    };
    let found = FoundPod {
        uid: "u".into(),
        namespace: "d".into(),
        name: "p".into(),
        ips: vec!["10.1.0.9".into()],
        containers: vec![container],
    };
    node.tell(Input::Found(vec![found, stray]));
    let words = node.tell(Input::Pod(Arc::new(Pod::of(&one(json!({}))).unwrap())));
    assert_eq!(words, ["status Running"], "nothing is started again");
    assert_eq!(node.status()["containerStatuses"][0]["restartCount"], 3);
    assert_eq!(node.tell(Input::PodsListed), ["SIGKILL c"], "what the API does not know is ended");
}

#[test]
fn what_ends_before_the_api_is_heard_has_ended() {
    let mut node = Node::new();
    let container = FoundContainer {
        id: id("c", 0),
        runtime_id: "old".to_owned(),
        image_id: "img@1".into(),
        started_at: Time::from_secs(900),
        exit: None,
    };
    let (uid, namespace, name) = ("u".into(), "d".into(), "p".into());
    node.tell(Input::Found(vec![FoundPod { uid, namespace, name, ips: Vec::new(), containers: vec![container] }]));
    let exit = Exit { code: 0, signal: 0, oom_killed: false, started_at: None, at: Time::from_secs(950), message: String::new() };
    node.tell(Input::Exited(id("c", 0), exit));
    let mut object = one(json!({}));
    object["spec"]["restartPolicy"] = "Never".into();
    node.tell(Input::Pod(Arc::new(Pod::of(&object).unwrap())));
    assert_eq!(node.status()["phase"], "Succeeded");
}

/// What the API makes of a status that is sent: nulls take away.
fn stored(value: Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, stored(v))).collect(),
        Value::Array(items) => items.into_iter().map(stored).collect(),
        other => other,
    }
}

#[test]
fn a_status_that_somebody_overwrites_is_sent_again() {
    let mut node = Node::new();
    let object = one(json!({}));
    node.run(&object);
    node.started("c", 0);
    let mut there = object;
    there["status"] = stored(node.status());
    for condition in there["status"]["conditions"].as_array_mut().unwrap() {
        if condition["type"] == "Ready" {
            condition["status"] = "False".into();
        }
    }
    // The node was away for long, and the control plane has given its pods up.
    assert_eq!(node.tell(Input::Pod(Arc::new(Pod::of(&there).unwrap()))), [""; 0], "it could be an old state");
    assert_eq!(node.after(10), ["status Running"]);
    there["status"] = stored(node.status());
    node.tell(Input::Pod(Arc::new(Pod::of(&there).unwrap())));
    assert_eq!(node.after(10), [""; 0], "once is enough");
}
