//! Makes a script of a seed: a small cluster, users who do this and that, and faults.

use object::{Rng, Value, json};

use super::script::{Action, FAULTS, Script, Step};
use super::user::collection;

/// Namespaces that workloads live in; the second is made, and sometimes deleted, by the script.
const NAMESPACES: [&str; 2] = ["a", "b"];

/// Draws a script. Only these faults are in it; none at all if the list is empty.
pub fn generate(seed: u64, faults: &[&str]) -> Script {
    let mut maker = Maker { rng: Rng::new(seed ^ 0x7363_7269_7074), steps: Vec::new(), crons: Vec::new(), made: Vec::new() };
    let nodes = 1 + maker.below(4) as u32;
    // Most are short: many small clusters find more than few large ones in the same time.
    let long = maker.below(8) == 0;
    let length = if long { 20_000 + maker.below(80_000) } else { 4_000 + maker.below(30_000) };
    let operations = if long { 8 + maker.below(30) } else { 4 + maker.below(14) };
    for namespace in NAMESPACES {
        maker.create(0, "v1", "", "namespaces", json!({"kind": "Namespace", "metadata": {"name": namespace}}));
    }
    let important = json!({"kind": "PriorityClass", "metadata": {"name": "important"}, "value": 1_000});
    maker.create(0, "scheduling.k8s.io/v1", "", "priorityclasses", important);
    for _ in 0..operations {
        let at = 500 + maker.below(length);
        maker.operation(at);
    }
    let allowed: Vec<&str> = FAULTS.iter().copied().filter(|fault| faults.contains(fault)).collect();
    if !allowed.is_empty() {
        for _ in 0..maker.below(if long { 10 } else { 6 }) {
            let at = 300 + maker.below(length + 5_000);
            let kind = allowed[maker.below(allowed.len() as u64) as usize];
            maker.fault(at, kind, nodes);
        }
    }
    for (at, path) in std::mem::take(&mut maker.crons) {
        // Its hour comes with the minute.
        let at = (length + 8_000).max(at + 62_000 + maker.below(90_000));
        maker.step(at, Action::Patch { path, patch: json!({"spec": {"suspend": true}}) });
    }
    let history_limit = if maker.below(4) == 0 { 400 } else { 10_000 };
    maker.steps.sort_by_key(|step| step.at);
    Script { seed, nodes, history_limit, steps: maker.steps }
}

/// A kind of workload that can be changed later: version, plural, and its path.
type Made = (&'static str, String);

struct Maker {
    rng: Rng,
    steps: Vec<Step>,
    /// CronJobs, which are suspended at the end: otherwise nothing comes to rest.
    crons: Vec<(u64, String)>,
    made: Vec<Made>,
}

impl Maker {
    fn below(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.rng.below(list.len() as u64) as usize].clone()
    }

    fn step(&mut self, at: u64, action: Action) {
        self.steps.push(Step { at, action });
    }

    fn create(&mut self, at: u64, version: &str, namespace: &str, plural: &str, mut object: Value) -> String {
        object["apiVersion"] = version.into();
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = namespace.into();
        }
        let path = collection(version, namespace, plural);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.step(at, Action::Create { path: path.clone(), object });
        format!("{path}/{name}")
    }

    fn operation(&mut self, at: u64) {
        let namespace = self.of(&["a", "a", "a", "b"]);
        match self.below(26) {
            0..=3 => self.deployment(at, namespace),
            4..=5 => self.stateful_set(at, namespace),
            6 => self.daemon_set(at, namespace),
            7..=8 => self.job(at, namespace),
            9 => self.cron_job(at, namespace),
            10 => self.service(at, namespace),
            11 => self.budget(at, namespace),
            12 => self.quota(at, namespace),
            13 => self.node_change(at),
            14 => self.config_map(at, namespace),
            15 => {
                let pick = self.below(8) as u32;
                self.step(at, Action::DeletePod { namespace: namespace.to_owned(), pick });
            }
            16..=17 => {
                let pick = self.below(8) as u32;
                self.step(at, Action::Evict { namespace: namespace.to_owned(), pick });
            }
            18 if self.below(6) == 0 => {
                self.step(at, Action::Delete { path: "/api/v1/namespaces/b".to_owned(), propagation: "Background".to_owned() });
            }
            19 => self.volume(at),
            20 => self.claim(at, namespace),
            _ => self.change(at),
        }
    }

    fn volume(&mut self, at: u64) {
        let spec = json!({
            "capacity": {"storage": self.of(&["1Gi", "2Gi"])}, "accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
            "hostPath": {"path": "/simulated"}, "persistentVolumeReclaimPolicy": "Retain",
        });
        let name = format!("v{}", self.below(4));
        let object = json!({"kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec});
        let path = self.create(at, "v1", "", "persistentvolumes", object);
        self.made.push(("volume", path));
    }

    fn claim(&mut self, at: u64, namespace: &str) {
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "storageClassName": "manual",
            "resources": {"requests": {"storage": self.of(&["1Gi", "2Gi"])}},
        });
        let name = format!("p{}", self.below(4));
        let object = json!({"kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec});
        let path = self.create(at, "v1", namespace, "persistentvolumeclaims", object);
        self.made.push(("claim", path));
    }

    fn template(&mut self, app: &str, ends: Option<&str>) -> Value {
        let cpu = self.of(&["100m", "200m", "300m", "500m", "900m"]);
        let mut container = json!({
            "name": "c", "image": "app:1", "imagePullPolicy": "IfNotPresent",
            "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}},
        });
        let mut annotations = json!({});
        match ends {
            Some(command) => {
                container["image"] = "busybox:1".into();
                container["command"] = json!(["sh", "-c", command]);
            }
            None if self.below(3) == 0 => {
                container["readinessProbe"] = json!({"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1});
                annotations["wasmkube.dev/ready-after"] = self.of(&["1s", "3s", "8s"]).into();
            }
            None => {}
        }
        if self.below(5) == 0 {
            annotations["wasmkube.dev/start-latency"] = self.of(&["500ms", "2s"]).into();
        }
        if self.below(10) == 0 {
            container["ports"] = json!([{"containerPort": 80, "hostPort": 8_080}]);
        }
        let mut spec = json!({"containers": [container], "terminationGracePeriodSeconds": self.of(&[0, 1, 5, 30])});
        if self.below(8) == 0 {
            spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"},
            ]}});
        }
        if self.below(6) == 0 {
            spec["priorityClassName"] = "important".into();
        }
        if ends.is_none() && self.below(8) == 0 {
            annotations["wasmkube.dev/ignore-sigterm"] = "true".into();
            spec["terminationGracePeriodSeconds"] = 5.into();
        }
        json!({"metadata": {"labels": {"app": app}, "annotations": annotations}, "spec": spec})
    }

    /// Pods of which no two may run at once must be given time to end: without, deletion asks nobody.
    fn gentle(&mut self, app: &str) -> Value {
        let mut template = self.template(app, None);
        if template["spec"]["terminationGracePeriodSeconds"] == 0 {
            template["spec"]["terminationGracePeriodSeconds"] = 2.into();
        }
        template
    }

    fn deployment(&mut self, at: u64, namespace: &str) {
        let name = self.of(&["d0", "d1", "d2"]);
        let mut spec = json!({
            "replicas": self.below(6), "selector": {"matchLabels": {"app": name}}, "template": self.template(name, None),
        });
        spec["strategy"] = match self.below(5) {
            0 => json!({"type": "Recreate"}),
            1 => json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
            2 => json!({"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}),
            3 => json!({"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}}),
            _ => json!({}),
        };
        if self.below(4) == 0 {
            spec["minReadySeconds"] = self.of(&[1, 4]).into();
        }
        let path = self.create(
            at,
            "apps/v1",
            namespace,
            "deployments",
            json!({"kind": "Deployment", "metadata": {"name": name}, "spec": spec}),
        );
        self.made.push(("deployment", path));
    }

    fn stateful_set(&mut self, at: u64, namespace: &str) {
        let name = self.of(&["s0", "s1"]);
        let mut spec = json!({
            "replicas": self.below(4), "serviceName": name, "selector": {"matchLabels": {"app": name}},
            "template": self.gentle(name), "podManagementPolicy": self.of(&["OrderedReady", "Parallel"]),
        });
        if self.below(4) == 0 {
            spec["ordinals"] = json!({"start": 2});
        }
        let path = self.create(
            at,
            "apps/v1",
            namespace,
            "statefulsets",
            json!({"kind": "StatefulSet", "metadata": {"name": name}, "spec": spec}),
        );
        self.made.push(("statefulset", path));
    }

    fn daemon_set(&mut self, at: u64, namespace: &str) {
        let mut template = self.template("e0", None);
        template["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "50m".into();
        let mut spec = json!({"selector": {"matchLabels": {"app": "e0"}}, "template": template});
        if self.below(3) == 0 {
            spec["updateStrategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
        }
        let path = self.create(
            at,
            "apps/v1",
            namespace,
            "daemonsets",
            json!({"kind": "DaemonSet", "metadata": {"name": "e0"}, "spec": spec}),
        );
        self.made.push(("daemonset", path));
    }

    fn job(&mut self, at: u64, namespace: &str) {
        let name = self.of(&["j0", "j1", "j2"]);
        let command = self.of(&["sleep 1", "sleep 4", "true", "sleep 2; exit 1"]);
        let mut spec = json!({
            "completions": 1 + self.below(4), "parallelism": 1 + self.below(3), "backoffLimit": self.below(3),
            "template": self.template(name, Some(command)),
        });
        spec["template"]["spec"]["restartPolicy"] = "Never".into();
        if self.below(2) == 0 {
            spec["completionMode"] = "Indexed".into();
        }
        if self.below(4) == 0 {
            spec["ttlSecondsAfterFinished"] = 3.into();
        }
        if self.below(6) == 0 {
            spec["activeDeadlineSeconds"] = 6.into();
        }
        let path =
            self.create(at, "batch/v1", namespace, "jobs", json!({"kind": "Job", "metadata": {"name": name}, "spec": spec}));
        self.made.push(("job", path));
    }

    fn cron_job(&mut self, at: u64, namespace: &str) {
        let mut template = self.template("k0", Some("sleep 70"));
        template["spec"]["restartPolicy"] = "Never".into();
        let spec = json!({
            "schedule": "* * * * *", "concurrencyPolicy": self.of(&["Allow", "Forbid", "Forbid", "Replace"]),
            "successfulJobsHistoryLimit": 1, "jobTemplate": {"spec": {"template": template}},
        });
        let path = self.create(
            at,
            "batch/v1",
            namespace,
            "cronjobs",
            json!({"kind": "CronJob", "metadata": {"name": "k0"}, "spec": spec}),
        );
        self.crons.push((at, path));
    }

    fn service(&mut self, at: u64, namespace: &str) {
        let app = self.of(&["d0", "d1", "s0", "s1"]);
        let mut spec = json!({"selector": {"app": app}, "ports": [{"port": 80}]});
        if self.below(3) == 0 {
            spec["type"] = "NodePort".into();
        } else if self.below(3) == 0 {
            spec["clusterIP"] = "None".into();
        }
        let path =
            self.create(at, "v1", namespace, "services", json!({"kind": "Service", "metadata": {"name": app}, "spec": spec}));
        self.made.push(("service", path));
    }

    fn budget(&mut self, at: u64, namespace: &str) {
        let app = self.of(&["d0", "d1", "s0"]);
        let mut spec = json!({"selector": {"matchLabels": {"app": app}}});
        let (field, value) = self.of(&[
            ("minAvailable", json!(1)),
            ("minAvailable", json!("50%")),
            ("maxUnavailable", json!(1)),
            ("maxUnavailable", json!("30%")),
        ]);
        spec[field] = value;
        let object = json!({"kind": "PodDisruptionBudget", "metadata": {"name": app}, "spec": spec});
        self.create(at, "policy/v1", namespace, "poddisruptionbudgets", object);
    }

    fn quota(&mut self, at: u64, namespace: &str) {
        let (what, amount) = self.of(&[
            ("pods", json!("3")),
            ("pods", json!("6")),
            ("requests.cpu", json!("1")),
            ("count/configmaps", json!("3")),
        ]);
        let object = json!({"kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {what: amount}}});
        let path = self.create(at, "v1", namespace, "resourcequotas", object);
        if self.below(2) == 0 {
            let later = at + self.below(20_000);
            self.step(later, Action::Delete { path, propagation: "Background".to_owned() });
        }
    }

    fn config_map(&mut self, at: u64, namespace: &str) {
        let name = format!("c{}", self.below(5));
        let mut metadata = json!({"name": name});
        let held = self.below(3) == 0;
        if held {
            metadata["finalizers"] = json!(["simulation/hold"]);
        }
        let path = self.create(
            at,
            "v1",
            namespace,
            "configmaps",
            json!({"kind": "ConfigMap", "metadata": metadata, "data": {"x": "1"}}),
        );
        if held {
            let later = at + self.below(15_000);
            self.step(later, Action::Delete { path: path.clone(), propagation: "Background".to_owned() });
            let released = later + self.below(15_000);
            self.step(released, Action::Patch { path, patch: json!({"metadata": {"finalizers": null}}) });
        }
    }

    /// A node is cordoned, tainted or labelled, and sometimes that is undone.
    fn node_change(&mut self, at: u64) {
        let path = format!("/api/v1/nodes/node-{}", self.below(3));
        let (patch, undo) = match self.below(3) {
            0 => (json!({"spec": {"unschedulable": true}}), json!({"spec": {"unschedulable": null}})),
            1 => {
                let effect = self.of(&["NoSchedule", "NoExecute", "PreferNoSchedule"]);
                (json!({"spec": {"taints": [{"key": "simulation/t", "effect": effect}]}}), json!({"spec": {"taints": null}}))
            }
            _ => {
                (json!({"metadata": {"labels": {"simulation/l": "x"}}}), json!({"metadata": {"labels": {"simulation/l": null}}}))
            }
        };
        self.step(at, Action::Patch { path: path.clone(), patch });
        if self.below(3) > 0 {
            let later = at + 1_000 + self.below(20_000);
            self.step(later, Action::Patch { path, patch: undo });
        }
    }

    /// Something that was made is changed or deleted.
    fn change(&mut self, at: u64) {
        if self.made.is_empty() {
            return self.deployment(at, "a");
        }
        let made = self.made.clone();
        let (kind, path) = self.of(&made);
        if self.below(5) == 0 {
            let propagation = self.of(&["Background", "Foreground", "Orphan"]);
            // Pods without an owner have to be somebody's: orphans stay, and that is right.
            return self.step(at, Action::Delete { path, propagation: propagation.to_owned() });
        }
        let image = format!("app:{}", 1 + self.below(4));
        let roll = json!({"spec": {"template": {"metadata": {"annotations": {"simulation/v": image}}}}});
        let patch = match (kind, self.below(4)) {
            ("deployment" | "statefulset", 0..=1) => json!({"spec": {"replicas": self.below(6)}}),
            ("deployment", 2) if self.below(3) == 0 => json!({"spec": {"paused": self.below(2) == 0}}),
            ("deployment" | "statefulset" | "daemonset", _) => roll,
            ("job", 0..=1) => json!({"spec": {"parallelism": self.below(4)}}),
            ("job", _) => json!({"spec": {"suspend": self.below(2) == 0}}),
            ("service", _) => json!({"spec": {"selector": {"app": self.of(&["d0", "d1"])}}}),
            _ => json!({"metadata": {"labels": {"simulation/v": image.replace(':', "-")}}}),
        };
        self.step(at, Action::Patch { path, patch });
    }

    fn fault(&mut self, at: u64, kind: &str, nodes: u32) {
        let node = self.below(u64::from(nodes)) as u32;
        let action = match kind {
            "crash" => Action::Crash { durable: self.below(2) == 0, millis: 100 + self.below(8_000) },
            "slow-journal" => Action::SlowJournal { latency: 50 + self.below(2_000), millis: 1_000 + self.below(15_000) },
            "clock-jump" => Action::ClockJump { seconds: self.of(&[1, 20, 90, 400, 4_000]) },
            "partition" => {
                // Now and then for so long that the node is given up, and its pods with it.
                let long = self.below(6) == 0;
                let millis = if long { 350_000 + self.below(200_000) } else { 1_000 + self.below(60_000) };
                if long {
                    self.step(at + millis, Action::CutStreams {});
                }
                Action::Partition { node, millis }
            }
            "noise" => Action::Noise {
                delay: self.below(400),
                lost: self.below(300) as u32,
                twice: self.below(300) as u32,
                millis: 1_000 + self.below(30_000),
            },
            "cut-streams" => Action::CutStreams {},
            "kubelet-restart" => Action::KubeletRestart { node, millis: 100 + self.below(60_000) },
            "reboot" => {
                let clock = self.below(20_000) as i64 - 10_000;
                Action::Reboot { node, millis: 500 + self.below(90_000), clock }
            }
            "node-clock" => Action::NodeClock { node, seconds: self.of(&[1, 30, 300]) },
            _ => Action::NodeLoss { node },
        };
        self.step(at, action);
    }
}
