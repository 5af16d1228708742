//! Measures how long a container takes to start: from the decision to a running process in its cgroup. Beside it the bare
//! cost of what cannot be left out (a process that maps and instantiates the same program), and of any process at all.
//!
//! Prints `name p50 p90 p99` in milliseconds. Arguments: number of starts (default 200).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kubelet::io::{ContainerId, StartContainer};
use wasmkube::install::Install;
use wasmkube::node::cgroup::Cgroups;
use wasmkube::node::image::Images;
use wasmkube::node::layout::Layout;
use wasmkube::node::process;
use wasmkube::node::runtime::Runtime;
use wasmkube_runner::spec::Spec;

#[tokio::main]
async fn main() -> Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(200), |count| count.parse()).context("not a number")?;
    let directory = std::env::temp_dir().join(format!("wasmkube-bench-{}", std::process::id()));
    let result = measure(&directory, count).await;
    std::fs::remove_dir_all(&directory).ok();
    result
}

async fn measure(directory: &Path, count: u32) -> Result<()> {
    let install = Install::find()?;
    std::fs::create_dir_all(directory)?;
    let layout = Layout::new(directory);
    let images = Images::open(&layout.images(), &install)?;
    let image = images.pull("wasmkube/http-echo").await.map_err(|error| anyhow::anyhow!(error.message))?;
    let (cgroups, reason) = Cgroups::find(&format!("wasmkube-bench-{}", std::process::id()));
    if let Some(reason) = reason {
        println!("without cgroups: {reason}");
    }
    let (facts, mut inbox) = tokio::sync::mpsc::unbounded_channel();
    let runtime = Arc::new(Runtime::new(layout.clone(), install.runner(), images.clone(), cgroups, facts));

    let mut whole = Vec::new();
    for attempt in 0..count {
        let wish = wish(&image.info.id, attempt)?;
        std::fs::create_dir_all(layout.containers("bench").join("main"))?;
        let start = Instant::now();
        runtime.start(&wish).await.map_err(|error| anyhow::anyhow!(error.message))?;
        whole.push(start.elapsed());
        runtime.kill(&wish.id);
        inbox.recv().await.context("the container's end was not reported")?;
        runtime.remove_container(&wish.id);
    }
    runtime.stop_all(Duration::from_secs(1)).await;
    print("container start", whole);

    let program = images.get(&image.info.id)?;
    let mut bare = Vec::new();
    for _ in 0..count {
        let spec = Spec {
            component: program.component.clone(),
            args: vec!["http-echo".into()],
            log: wasmkube_runner::spec::Log { path: directory.join("log"), max_bytes: 0, max_files: 1 },
            ending: directory.join("end"),
            address: Some([127, 99, 0, 2].into()),
            ..Spec::default()
        };
        let start = Instant::now();
        let (process, _) = process::start(&install.runner(), &spec, None).await?;
        bare.push(start.elapsed());
        process.signal(9);
        process.wait().await;
    }
    print("fork + exec + instantiate", bare);

    let mut least = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        tokio::process::Command::new("/bin/true").status().await?;
        least.push(start.elapsed());
    }
    print("fork + exec of /bin/true", least);
    Ok(())
}

fn wish(image_id: &Arc<str>, attempt: u32) -> Result<StartContainer> {
    let object = object::json!({
        "metadata": {"name": "bench", "namespace": "default", "uid": "bench"},
        "spec": {"containers": [{"name": "main", "image": "wasmkube/http-echo"}]},
    });
    let pod = Arc::new(kubelet::Pod::of(&object).context("not a pod")?);
    Ok(StartContainer {
        id: ContainerId { pod: "bench".into(), name: "main".into(), attempt },
        pod,
        image: "wasmkube/http-echo".into(),
        image_id: image_id.clone(),
        command: Vec::new(),
        args: Vec::new(),
        working_dir: String::new(),
        env: vec![("A".to_owned(), "b".to_owned())],
        mounts: Vec::new(),
        cpu_request_milli: 100,
        cpu_limit_milli: Some(1000),
        memory_limit: Some(64 << 20),
        pod_ips: vec!["127.99.0.1".to_owned()],
        hostname: "bench".to_owned(),
        security_context: object::Value::Null,
        termination_message_path: "/dev/termination-log".to_owned(),
        termination_message_from_logs: false,
    })
}

fn print(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: f64| {
        let index = ((times.len() as f64 - 1.0) * part).round() as usize;
        times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    println!("{name:<26} p50 {:6.2} ms   p90 {:6.2} ms   p99 {:6.2} ms", at(0.5), at(0.9), at(0.99));
}
