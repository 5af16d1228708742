//! Things break, and the cluster does what Kubernetes would: containers come back, memory limits hold, answered writes last.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use wasmkube_tests::Cluster;

const WEB: &str = include_str!("../fixtures/web.yaml");

/// Processes of runners that belong to this cluster: each holds its program open, which lies in the data directory.
fn runners(cluster: &Cluster) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let program = String::from_utf8_lossy(&command).split('\0').next().unwrap_or_default().to_owned();
        let Ok(open) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        let mut open = open.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
        if program.ends_with("wasmkube-runner") && open.any(|path| path.starts_with(cluster.data())) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn container_status(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

#[test]
fn a_killed_runner_comes_back_with_restart_count_one() -> Result<()> {
    let cluster = Cluster::with_node()?;
    cluster.kubectl(&["run", "echo", "--image=wasmkube/http-echo"])?;
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/echo", "--timeout=60s"])?;
    let pids = runners(&cluster)?;
    ensure!(pids.len() == 1, "one container, but {pids:?}");
    ensure!(Command::new("kill").args(["-9", &pids[0].to_string()]).status()?.success());
    cluster.until("a restart", |c| {
        let pod = c.get(&["pod", "echo"])?;
        Ok(container_status(&pod)["restartCount"] == 1 && container_status(&pod)["ready"] == true)
    })?;
    let pod = cluster.get(&["pod", "echo"])?;
    ensure!(container_status(&pod)["lastState"]["terminated"]["exitCode"] == 137, "{pod}");
    cluster.kubectl(&["delete", "pod", "echo"])?;
    ensure!(runners(&cluster)?.is_empty(), "a runner outlived its pod");
    Ok(())
}

#[test]
fn a_container_over_its_memory_limit_is_oom_killed() -> Result<()> {
    let cluster = Cluster::with_node()?;
    let pod = r#"
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  restartPolicy: Never
  containers:
    - name: stress
      image: wasmkube/stress
      args: ["--memory", "256Mi"]
      resources: {limits: {memory: 64Mi}}
"#;
    cluster.kubectl_stdin(&["apply"], pod)?;
    cluster.until("the end of the container", |c| Ok(c.get(&["pod", "hungry"])?["status"]["phase"] == "Failed"))?;
    let pod = cluster.get(&["pod", "hungry"])?;
    let ended = &container_status(&pod)["state"]["terminated"];
    ensure!(ended["reason"] == "OOMKilled" && ended["exitCode"] == 137, "{ended}");
    Ok(())
}

#[test]
fn an_image_that_cannot_be_had_says_so() -> Result<()> {
    let cluster = Cluster::with_node()?;
    cluster.kubectl(&["run", "absent", "--image=wasmkube/no-such-image"])?;
    cluster.until("the back-off", |c| {
        Ok(container_status(&c.get(&["pod", "absent"])?)["state"]["waiting"]["reason"] == "ImagePullBackOff")
    })?;
    let described = cluster.kubectl(&["describe", "pod", "absent"])?;
    ensure!(
        described.contains("ErrImagePull") && described.contains("Failed to pull image \"wasmkube/no-such-image\""),
        "{described}"
    );
    Ok(())
}

#[test]
fn kill_nine_loses_no_answered_write() -> Result<()> {
    let mut cluster = Cluster::with_node()?;
    cluster.kubectl_stdin(&["apply"], WEB)?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    let answered = AtomicU32::new(0);
    let stop = AtomicBool::new(false);
    let creating = |cluster: &Cluster| {
        while !stop.load(Ordering::Relaxed) {
            let next = answered.load(Ordering::Relaxed) + 1;
            // Several objects by one kubectl: the answer to each is a line of its own.
            let names: Vec<String> = (0..5).map(|i| format!("c-{}", next + i)).collect();
            let manifest: String =
                names.iter().map(|n| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {n}}}\n")).collect();
            let Ok(printed) = cluster.kubectl_stdin(&["create"], &manifest) else { return };
            answered.fetch_add(printed.lines().filter(|l| l.ends_with(" created")).count() as u32, Ordering::Relaxed);
        }
    };
    let pid = runners(&cluster)?.len();
    ensure!(pid == 3, "three runners before the crash");
    std::thread::scope(|scope| {
        let cluster = &cluster;
        let creator = scope.spawn(|| creating(cluster));
        while answered.load(Ordering::Relaxed) < 20 && !creator.is_finished() {
            std::thread::sleep(Duration::from_millis(10));
        }
        cluster.kill_now()?;
        stop.store(true, Ordering::Relaxed);
        creator.join().ok().context("the creating thread panicked")
    })?;
    cluster.signal("-KILL")?;
    let answered = answered.load(Ordering::Relaxed);
    ensure!(answered >= 20, "only {answered} creates were answered");
    cluster.launch()?;
    let listed = cluster.kubectl(&["get", "configmaps", "-o", "name"])?;
    for n in 1..=answered {
        ensure!(listed.lines().any(|line| line == format!("configmap/c-{n}")), "c-{n} was answered and is gone");
    }
    cluster.until("the pods to be there again", |c| {
        let deployment = c.get(&["deployment", "web"])?;
        let ready = c.kubectl(&["get", "pods", "-l", "app=web", "--no-headers"])?;
        Ok(deployment["status"]["readyReplicas"] == 3
            && ready.lines().count() == 3
            && ready.lines().all(|l| l.contains("1/1"))
            && runners(c)?.len() == 3)
    })
}
