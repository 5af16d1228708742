//! kubectl against a whole cluster in this process: what it prints, and what it leaves behind.

use std::cell::RefCell;
use std::future::Future;
use std::task::{Context, Poll, Waker};

use cluster::driver::Driver;
use cluster::wire::Config;
use expect_test::{Expect, expect};
use object::{Bytes, Time};
use wasmkube_kubectl::{Files, Kubectl, Local, Output, Request, Response, Transport};

/// The cluster as a transport: time passes only while kubectl waits.
struct InProcess(RefCell<Driver>);

impl Transport for InProcess {
    fn send(&self, request: Request) -> Local<'_, Result<Response, String>> {
        let mut driver = self.0.borrow_mut();
        let stream = driver.send_with(&request.method, &request.target, request.headers, request.body);
        driver.settle_now();
        let answer = driver.answer(stream);
        // What has not ended yet is a watch; tests see what it has sent so far.
        driver.close(stream);
        Box::pin(async move {
            Ok(Response { status: answer.status, headers: answer.headers, body: Box::new(Bytes::from(answer.body)) })
        })
    }

    fn sleep(&self, millis: u64) -> Local<'_, ()> {
        self.0.borrow_mut().settle(millis);
        Box::pin(async {})
    }

    fn now(&self) -> Time {
        self.0.borrow().now()
    }
}

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, path: &str, _recursive: bool) -> Local<'_, Result<Vec<(String, Bytes)>, String>> {
        let message = format!("the path {path:?} does not exist");
        Box::pin(async move { Err(message) })
    }
}

#[derive(Default)]
struct Screen(String);

impl Output for Screen {
    fn stdout(&mut self, text: &[u8]) {
        self.0 += &String::from_utf8_lossy(text);
    }

    fn stderr(&mut self, text: &[u8]) {
        self.stdout(text);
    }
}

struct World(InProcess);

impl World {
    fn new() -> Self {
        let config = Config {
            controllers: vec!["*".to_owned()],
            scheduler: true,
            simulated_nodes: 1,
            service_cidr: "10.96.0.0/16".to_owned(),
            advertise_address: "127.0.0.1".to_owned(),
            advertise_port: 6443,
            ..Config::default()
        };
        let mut driver = Driver::start(config);
        driver.settle(3_000);
        World(InProcess(RefCell::new(driver)))
    }

    /// Runs a command line (words parted by blanks) and gives what it printed, and its exit code if that is not 0.
    fn run(&self, line: &str, stdin: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut screen = Screen::default();
        let code = {
            let kubectl = Kubectl::new(&self.0, &NoFiles, &mut screen).with_stdin(stdin.to_owned());
            let mut future = Box::pin(kubectl.run(&words));
            let mut context = Context::from_waker(Waker::noop());
            loop {
                // Nothing here is ever pending: the cluster answers at once.
                if let Poll::Ready(code) = future.as_mut().poll(&mut context) {
                    break code;
                }
            }
        };
        if code == 0 { screen.0 } else { format!("{}(exit code {code})\n", screen.0) }
    }

    fn check(&self, line: &str, stdin: &str, expect: Expect) {
        expect.assert_eq(&self.run(line, stdin));
    }
}

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: \"wasmkube/http-echo\"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {mode: \"on\"}
";

#[test]
fn apply_is_idempotent_and_sees_changes() {
    let w = World::new();
    w.check(
        "apply -f -",
        WEB,
        expect![[r#"
        deployment.apps/web created
        configmap/settings created
    "#]],
    );
    w.check(
        "apply -f -",
        WEB,
        expect![[r#"
        deployment.apps/web unchanged
        configmap/settings unchanged
    "#]],
    );
    w.check(
        "apply -f -",
        &WEB.replace("replicas: 2", "replicas: 3").replace("mode", "other"),
        expect![[r#"
        deployment.apps/web configured
        configmap/settings configured
    "#]],
    );
    w.check("get cm settings -o jsonpath={.data}", "", expect![[r#"{"other":"on"}"#]]);
    w.check("get deploy web -o jsonpath={.spec.replicas}", "", expect!["3"]);
    w.check(
        "apply --server-side -f -",
        WEB,
        expect![[r#"
        deployment.apps/web serverside-applied
        configmap/settings serverside-applied
    "#]],
    );
}

#[test]
fn conflicts_are_explained() {
    let w = World::new();
    w.run("apply -f -", WEB);
    w.run("scale deploy/web --replicas=5", "");
    let text = w.run("apply --server-side --field-manager=me -f -", WEB);
    assert!(text.contains("error: Apply failed with 1 conflict: conflict with"), "{text}");
    assert!(text.contains("please re-run the apply\n  command with the `--force-conflicts` flag."), "{text}");
    let forced = w.run("apply --server-side --force-conflicts --field-manager=me -f -", WEB);
    assert_eq!(forced, "deployment.apps/web serverside-applied\nconfigmap/settings serverside-applied\n");
}

#[test]
fn a_deployment_rolls_out_and_back() {
    let w = World::new();
    w.run("apply -f -", WEB);
    let status = w.run("rollout status deploy/web --timeout=60s", "");
    assert!(status.ends_with("deployment \"web\" successfully rolled out\n"), "{status}");
    w.check("set image deploy/web web=wasmkube/hello", "", expect!["deployment.apps/web image updated\n"]);
    w.check("rollout undo deploy/web", "", expect!["deployment.apps/web rolled back\n"]);
    w.run("rollout status deploy/web --timeout=60s", "");
    w.check(
        "rollout history deploy/web",
        "",
        expect![[r#"
        deployment.apps/web 
        REVISION  CHANGE-CAUSE
        2         <none>
        3         <none>

    "#]],
    );
    w.check("get deploy web -o jsonpath={.spec.template.spec.containers[0].image}", "", expect!["wasmkube/http-echo"]);
    w.check("scale deploy/web --replicas=0", "", expect!["deployment.apps/web scaled\n"]);
    w.check(
        "wait --for=jsonpath={.status.replicas}=1 deploy/web --timeout=1s",
        "",
        expect![[r#"
        error: timed out waiting for the condition on deployments/web
        (exit code 1)
    "#]],
    );
    w.check("delete deploy web", "", expect!["deployment.apps \"web\" deleted\n"]);
    w.check("get deploy,rs,pods", "", expect!["No resources found in default namespace.\n"]);
}

#[test]
fn errors_are_kubectls() {
    let w = World::new();
    for (line, expected) in [
        ("get pod nope", "Error from server (NotFound): pods \"nope\" not found\n(exit code 1)\n"),
        ("get nosuch", "error: the server doesn't have a resource type \"nosuch\"\n(exit code 1)\n"),
        ("get pods --nope", "error: unknown flag: --nope\nSee 'kubectl get --help' for usage.\n(exit code 1)\n"),
        ("nope", "error: unknown command \"nope\" for \"kubectl\"\nRun 'kubectl --help' for usage.\n(exit code 1)\n"),
        ("delete pod", "error: resource(s) were provided, but no name was specified\n(exit code 1)\n"),
        ("apply -f x.yaml", "error: the path \"x.yaml\" does not exist\n(exit code 1)\n"),
        ("explain pod.nope", "KIND:       Pod\nVERSION:    v1\n\nerror: field \"nope\" does not exist\n(exit code 1)\n"),
    ] {
        assert_eq!(w.run(line, ""), expected, "{line}");
    }
}

#[test]
fn generators_write_what_kubectl_writes() {
    let w = World::new();
    w.check(
        "create deployment x --image=nginx:1.2 --port=80 --dry-run=client -o yaml",
        "",
        expect![[r#"
        apiVersion: apps/v1
        kind: Deployment
        metadata:
          creationTimestamp: null
          labels:
            app: x
          name: x
        spec:
          replicas: 1
          selector:
            matchLabels:
              app: x
          strategy: {}
          template:
            metadata:
              creationTimestamp: null
              labels:
                app: x
            spec:
              containers:
              - image: nginx:1.2
                name: nginx
                ports:
                - containerPort: 80
                resources: {}
        status: {}
    "#]],
    );
    w.check("create configmap c --from-literal=a=b", "", expect!["configmap/c created\n"]);
    w.check("label cm c a=b", "", expect!["configmap/c labeled\n"]);
    w.check("label cm c a=c", "", expect!["error: 'a' already has a value (b), and --overwrite is false\n(exit code 1)\n"]);
    w.check("label cm c a-", "", expect!["configmap/c unlabeled\n"]);
    w.check(
        "explain deploy.spec.replicas",
        "",
        expect![[r#"
        GROUP:      apps
        KIND:       Deployment
        VERSION:    v1

        FIELD: replicas <integer>


        DESCRIPTION:
            Number of desired pods. This is a pointer to distinguish between explicit
            zero and not specified. Defaults to 1.
            

    "#]],
    );
}
