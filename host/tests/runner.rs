//! The runner as a program: what it runs, how it ends, what it is not allowed.
//!
//! Needs an assembled installation in `WASMKUBE_HOME` (`cargo xtask test` makes one); without it these tests say that they
//! are skipped.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wasmkube::install::Install;
use wasmkube::node::image::Images;
use wasmkube::node::process::{self, Process, Status};
use wasmkube_runner::services::{Port, Service, Table};
use wasmkube_runner::spec::{Ending, Log, Mount, Spec};

/// One container with a directory of its own.
struct Container {
    install: Install,
    directory: PathBuf,
    spec: Spec,
}

impl Container {
    /// `None`, with the reason printed, where there is no installation.
    async fn new(test: &str, image: &str, args: &[&str]) -> Option<Self> {
        let Some(home) = std::env::var_os("WASMKUBE_HOME") else {
            println!("skipped: WASMKUBE_HOME names no installation");
            return None;
        };
        let install = Install::at(home);
        let directory = std::env::temp_dir().join(format!("wasmkube-runner-{}-{test}", std::process::id()));
        std::fs::create_dir_all(directory.join("root")).unwrap();
        let images = Images::open(&directory.join("images"), &install).unwrap();
        let id = images.pull(&format!("wasmkube/{image}")).await.unwrap().info.id;
        let mut words = vec![image.to_owned()];
        words.extend(args.iter().map(|word| (*word).to_owned()));
        let spec = Spec {
            component: images.get(&id).unwrap().component,
            args: words,
            mounts: vec![Mount { source: directory.join("root"), path: "/".into(), read_only: false }],
            log: Log { path: directory.join("log"), max_bytes: 1 << 20, max_files: 2 },
            ending: directory.join("end"),
            open_files: 256,
            ..Spec::default()
        };
        Some(Container { install, directory, spec })
    }

    async fn start(&self) -> Process {
        process::start(&self.install.runner(), &self.spec, None).await.unwrap().0
    }

    /// Runs it to its end.
    async fn run(&self) -> (Status, Ending) {
        let status = self.start().await.wait().await;
        (status, self.ending().unwrap_or_default())
    }

    fn ending(&self) -> Option<Ending> {
        serde_json::from_slice(&std::fs::read(&self.spec.ending).ok()?).ok()
    }

    /// Starts a server, which ends with the test.
    async fn serve(&self) -> Server {
        Server(self.start().await)
    }

    /// The log's lines without their times.
    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.spec.log.path).unwrap();
        text.lines().filter_map(|line| Some(line.split_once(' ')?.1.to_owned())).collect()
    }
}

struct Server(Process);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.signal(libc::SIGKILL);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// Asks a server that may still be starting.
fn get(address: IpAddr, port: u16, path: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Ok(mut stream) = TcpStream::connect((address, port)) {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            return answer;
        }
        assert!(Instant::now() < deadline, "nobody listens");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn output_and_exit_codes() {
    let Some(mut container) = Container::new("hello", "hello", &["good", "day"]).await else { return };
    container.spec.env = vec![("NAME".to_owned(), "value".to_owned())];
    let (status, ending) = container.run().await;
    assert_eq!((status, ending), (Status::Exited(0), Ending::default()));
    assert_eq!(container.log(), ["stdout F good day", "stdout F NAME=value"]);

    // WASI 0.2 itself tells success from failure and no more; its extension with a code is offered to those that use it.
    container.spec.args = vec!["hello".into(), "--get".into(), "http://nowhere".into()];
    let (status, ending) = container.run().await;
    assert_eq!((status, ending.code), (Status::Exited(1), 1));
}

#[tokio::test]
async fn signals() {
    let Some(container) = Container::new("signals", "stress", &["--cpu", "1"]).await else { return };
    let process = container.start().await;
    process.signal(libc::SIGTERM);
    assert_eq!(process.wait().await, Status::Exited(143), "busy, and ended nevertheless");
    assert_eq!(container.ending().map(|ending| ending.code), Some(143));

    let process = container.start().await;
    process.signal(libc::SIGKILL);
    assert_eq!(process.wait().await, Status::Killed(libc::SIGKILL));
    assert_eq!(container.ending(), None);
}

#[tokio::test]
async fn memory_has_an_end() {
    let Some(mut container) = Container::new("memory", "stress", &["--memory", "64Mi", "--seconds", "0"]).await else { return };
    container.spec.memory_limit = Some(32 << 20);
    let (status, ending) = container.run().await;
    assert_eq!((status, ending.code, ending.out_of_memory), (Status::Exited(137), 137, true));
    container.spec.memory_limit = Some(128 << 20);
    assert_eq!(container.run().await.0, Status::Exited(0));
}

#[tokio::test]
async fn servers_and_services() {
    let address = IpAddr::from([127, 98, std::process::id() as u8, 7]);
    let Some(mut server) = Container::new("server", "http-echo", &[]).await else { return };
    server.spec.address = Some(address);
    let _serving = server.serve().await;
    assert!(get(address, 8080, "/healthz").ends_with("\r\n\r\nok\n"));
    assert!(TcpStream::connect((IpAddr::from([127, 0, 0, 1]), 8080)).is_err(), "only the pod's address is bound");

    let Some(mut client) = Container::new("client", "hello", &["--get", "http://web/status/418"]).await else { return };
    let port = Port { port: 80, protocol: "TCP".into(), endpoints: vec![(address, 8080).into()] };
    let service = Service { addresses: vec![[10, 96, 0, 9].into()], ports: vec![port], ..Service::default() };
    let table = Table { domain: "cluster.local".into(), services: [("web.shop".to_owned(), service)].into() };
    client.spec.services = client.directory.join("services.json");
    std::fs::write(&client.spec.services, serde_json::to_vec(&table).unwrap()).unwrap();
    client.spec.address = Some([127, 98, std::process::id() as u8, 8].into());
    client.spec.namespace = "shop".to_owned();
    let (status, _) = client.run().await;
    assert_eq!((status, client.log().first().map(String::as_str)), (Status::Exited(0), Some("stdout F HTTP/1.1 418 Error")));

    // Another namespace does not know the short name, and nobody listens for the address without its table.
    client.spec.namespace = "other".to_owned();
    assert_eq!(client.run().await.0, Status::Exited(1));
}

#[tokio::test]
async fn without_an_address_there_is_no_network() {
    let Some(container) = Container::new("offline", "http-echo", &[]).await else { return };
    assert_eq!(container.run().await.0, Status::Exited(1));
    assert!(container.log().iter().any(|line| line.contains("ermission denied")), "{:?}", container.log());
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let Some(mut container) = Container::new("broken", "hello", &[]).await else { return };
    container.spec.component = container.directory.join("log");
    std::fs::write(&container.spec.component, "not code").unwrap();
    let error = process::start(&container.install.runner(), &container.spec, None).await.unwrap_err();
    assert!(format!("{error:#}").contains("cannot load"), "{error:#}");
}
