//! The loop of the node agent: facts go into the kubelet, its wishes are carried out, and what they lead to comes back as
//! facts. Nothing here decides what happens to a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use kubelet::io::{Check, DataKind, Output, ProbeResult, Reference};
use kubelet::pod::PodUid;
use kubelet::{Input, Kubelet, Pod};
use object::value::{at, str_at};
use object::{Time, Value};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

use super::addresses::Addresses;
use super::events::Events;
use super::image::Images;
use super::layout::{Layout, write_whole};
use super::reflect::{News, reflect};
use super::runtime::{PodRecord, Runtime};
use super::server::Question;
use super::services::{Kind, Services};
use super::writer::{Write, Writer};
use super::{now, probe, register, volumes};
use crate::client::Client;

/// A hook that does not say how long it may take.
const HOOK_TIMEOUT: Duration = Duration::from_secs(600);
/// Changes of Services are gathered for this long before runners and pods hear of them.
const GATHER: Duration = Duration::from_millis(20);

/// What the loop is told.
pub enum Fact {
    /// For the kubelet as it is.
    Input(Input),
    /// Pods of this node.
    Pods(News),
    /// Services or EndpointSlices.
    Services(Kind, News),
    /// The Node object.
    Node(Value),
}

/// The agent's parts.
pub struct Agent {
    /// Who decides.
    pub kubelet: Kubelet,
    /// The API.
    pub client: Client,
    /// Files.
    pub layout: Layout,
    /// Containers.
    pub runtime: Arc<Runtime>,
    /// Images.
    pub images: Images,
    /// Addresses of pods.
    pub addresses: Addresses,
    /// Events.
    pub events: Events,
    /// Writes of pods.
    pub writer: Writer,
    /// For tasks that have facts to tell.
    pub inputs: UnboundedSender<Input>,
    /// Pods as the API has them.
    pub pods: BTreeMap<PodUid, Value>,
    /// Pods whose containers have ended for good while the API still knows them.
    pub ended: BTreeSet<PodUid>,
    /// Services as the API has them.
    pub services: Services,
    /// ConfigMaps and Secrets that are watched.
    pub watched: BTreeMap<Reference, JoinHandle<()>>,
    /// When changed Services are told.
    pub services_due: Option<tokio::time::Instant>,
    /// When the node became ready.
    pub ready_since: Time,
}

impl Agent {
    /// Runs until `shutdown` is done.
    pub async fn run(
        &mut self,
        mut inputs: UnboundedReceiver<Input>,
        mut facts: UnboundedReceiver<Fact>,
        mut questions: Receiver<Question>,
        shutdown: impl Future<Output = ()>,
    ) {
        tokio::pin!(shutdown);
        let mut report = tokio::time::interval(Duration::from_secs(kubelet::node::STATUS_REPORT_SECONDS));
        report.tick().await;
        loop {
            self.act();
            let wake = self.kubelet.next_wake().map(|at| Duration::from_millis(at.millis_since(now())));
            tokio::select! {
                () = &mut shutdown => return,
                Some(input) = inputs.recv() => {
                    self.tell(Fact::Input(input));
                    while let Ok(input) = inputs.try_recv() {
                        self.tell(Fact::Input(input));
                    }
                }
                Some(fact) = facts.recv() => self.tell(fact),
                Some(question) = questions.recv() => self.answer(question),
                () = sleep(wake) => {}
                () = until(self.services_due) => self.tell_services(),
                _ = report.tick() => self.report(),
            }
        }
    }

    fn tell(&mut self, fact: Fact) {
        match fact {
            Fact::Input(input) => self.kubelet.handle(now(), input),
            Fact::Pods(news) => self.pods(news),
            Fact::Services(kind, news) => {
                self.services.update(kind, news);
                self.services_due.get_or_insert(tokio::time::Instant::now() + GATHER);
            }
            Fact::Node(node) => {
                let labels = object::meta::string_map(at(&node, &["metadata", "labels"]));
                self.kubelet.handle(now(), Input::NodeLabels(labels));
            }
        }
    }

    fn pods(&mut self, news: News) {
        match news {
            News::All(all) => {
                let all: BTreeMap<PodUid, Value> = all.into_iter().map(|pod| (uid(&pod), pod)).collect();
                let gone: Vec<PodUid> = self.pods.keys().filter(|uid| !all.contains_key(*uid)).cloned().collect();
                gone.into_iter().for_each(|uid| self.gone(uid));
                all.into_values().for_each(|pod| self.pod(pod));
                self.kubelet.handle(now(), Input::PodsListed);
            }
            News::Changed(pod) => self.pod(pod),
            News::Gone(pod) => self.gone(uid(&pod)),
        }
    }

    fn pod(&mut self, value: Value) {
        match Pod::of(&value) {
            Some(pod) => {
                let uid = pod.uid.clone();
                if self.pods.get(&uid) != Some(&value) {
                    self.kubelet.handle(now(), Input::Pod(Arc::new(pod)));
                }
                self.pods.insert(uid, value);
            }
            None => eprintln!("node: {} is not a pod that can be understood", str_at(&value, &["metadata", "name"])),
        }
    }

    fn gone(&mut self, uid: PodUid) {
        self.pods.remove(&uid);
        if self.ended.remove(&uid) {
            remove(self.layout.pod(&uid));
        }
        self.kubelet.handle(now(), Input::PodGone(uid));
    }

    fn tell_services(&mut self) {
        self.services_due = None;
        let table = self.services.table(&self.kubelet.config().cluster_domain);
        let written = serde_json::to_vec(&table).map_err(std::io::Error::other);
        if let Err(error) = written.and_then(|text| write_whole(&self.layout.services(), &text)) {
            eprintln!("node: cannot write the Service table: {error}");
        }
        self.kubelet.handle(now(), Input::Services(self.services.environment()));
    }

    fn report(&self) {
        let status = register::status_now(&self.kubelet, self.ready_since);
        let report = register::report(self.client.clone(), self.kubelet.config().node_name.clone(), status);
        tokio::spawn(async move {
            if let Err(error) = report.await {
                eprintln!("node: cannot report the node's status: {error}");
            }
        });
    }

    fn answer(&self, question: Question) {
        // Who asked may have gone.
        match question {
            Question::Run { namespace, pod, container, previous, answer } => {
                answer.send(self.kubelet.container(&namespace, &pod, &container, previous)).ok();
            }
            Question::Pods(answer) => drop(answer.send(self.pods.values().cloned().collect())),
        }
    }

    /// Carries out what the kubelet wishes.
    fn act(&mut self) {
        for output in self.kubelet.poll(now()) {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::CreateSandbox(pod) => {
                let result = self.create_sandbox(&pod);
                self.send(Input::Sandbox(pod.uid.clone(), result));
            }
            Output::RemoveSandbox(uid) => {
                self.addresses.release(&uid);
                // Logs can be read for as long as the API knows the pod.
                if self.pods.contains_key(&uid) {
                    remove(self.layout.volumes(&uid));
                    self.ended.insert(uid);
                } else {
                    remove(self.layout.pod(&uid));
                }
            }
            Output::Materialise(pod, contents) => {
                let (client, layout, inputs) = (self.client.clone(), self.layout.clone(), self.inputs.clone());
                tokio::spawn(async move {
                    let result = volumes::materialise(&client, &layout, &pod, contents).await;
                    inputs.send(Input::Volumes(pod.uid, result.map_err(|error| format!("{error:#}")))).ok();
                });
            }
            Output::PullImage { image, .. } => {
                let (images, inputs) = (self.images.clone(), self.inputs.clone());
                tokio::spawn(async move {
                    let result = images.pull(&image).await;
                    inputs.send(Input::Pulled(image, result)).ok();
                });
            }
            Output::StartContainer(wish) => {
                let (runtime, inputs) = (self.runtime.clone(), self.inputs.clone());
                tokio::spawn(async move {
                    let result = runtime.start(&wish).await;
                    inputs.send(Input::Started(wish.id, result)).ok();
                });
            }
            Output::StopContainer { container, .. } => self.runtime.stop(&container),
            Output::KillContainer(container) => self.runtime.kill(&container),
            Output::RemoveContainer(container) => self.runtime.remove_container(&container),
            Output::RunHook { container, hook, handler } => {
                self.check(handler, HOOK_TIMEOUT, move |result| {
                    Input::HookDone(
                        container,
                        hook,
                        match result {
                            ProbeResult::Success => Ok(()),
                            ProbeResult::Failure(why) | ProbeResult::Error(why) => Err(why),
                        },
                    )
                });
            }
            Output::Probe { container, probe, handler, timeout_seconds } => {
                let timeout = Duration::from_secs(timeout_seconds.into());
                self.check(handler, timeout, move |result| Input::Probed(container, probe, result));
            }
            Output::Fetch(reference) => self.fetch(reference),
            Output::Forget(reference) => {
                if let Some(task) = self.watched.remove(&reference) {
                    task.abort();
                }
            }
            Output::PatchStatus(pod, patch) => self.writer.write(Write::Status(pod, patch)),
            Output::DeletePod(pod) => self.writer.write(Write::Delete(pod)),
            Output::Event(event) => self.events.record(event),
        }
    }

    fn create_sandbox(&mut self, pod: &Pod) -> Result<Vec<String>, String> {
        let address = self.addresses.take(&pod.uid).ok_or("all addresses of this node are in use")?;
        let record = PodRecord { namespace: pod.namespace.clone(), name: pod.name.clone(), ips: vec![address.to_string()] };
        let write = || -> std::io::Result<()> {
            let containers = self.layout.containers(&pod.uid);
            for container in pod.spec.init_containers.iter().chain(&pod.spec.containers) {
                std::fs::create_dir_all(containers.join(&*container.name))?;
            }
            write_whole(&self.layout.pod_record(&pod.uid), &serde_json::to_vec(&record)?)
        };
        write().map_err(|error| format!("cannot write to {}: {error}", self.layout.pod(&pod.uid).display()))?;
        Ok(record.ips)
    }

    fn check(&self, handler: Check, timeout: Duration, fact: impl FnOnce(ProbeResult) -> Input + Send + 'static) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let result = probe::check(&handler, timeout).await;
            inputs.send(fact(result)).ok();
        });
    }

    fn fetch(&mut self, reference: Reference) {
        let plural = match reference.kind {
            DataKind::ConfigMap => "configmaps",
            DataKind::Secret => "secrets",
        };
        let target =
            format!("/api/v1/namespaces/{}/{plural}?fieldSelector=metadata.name%3D{}", reference.namespace, reference.name);
        let (inputs, key) = (self.inputs.clone(), reference.clone());
        let task = tokio::spawn(reflect(self.client.clone(), target, move |news| {
            let data = match news {
                News::All(all) => all.into_iter().next(),
                News::Changed(object) => Some(object),
                News::Gone(_) => None,
            };
            let data = data.map(|object| Arc::new(content(reference.kind, &object)));
            inputs.send(Input::Fetched(reference.clone(), data)).ok();
        }));
        if let Some(old) = self.watched.insert(key, task) {
            old.abort();
        }
    }

    fn send(&self, input: Input) {
        // The receiving end is ours; it is gone only when the loop is.
        self.inputs.send(input).ok();
    }
}

/// Removes a directory; nobody waits for it.
fn remove(directory: std::path::PathBuf) {
    tokio::task::spawn_blocking(move || std::fs::remove_dir_all(directory));
}

fn uid(pod: &Value) -> PodUid {
    str_at(pod, &["metadata", "uid"]).into()
}

/// The content of a ConfigMap or Secret.
fn content(kind: DataKind, object: &Value) -> kubelet::io::Data {
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).map(Bytes::from).ok();
    let strings = |field: &str| object.get(field).and_then(Value::as_object).into_iter().flatten();
    let plain = strings("data").filter_map(|(key, value)| {
        let text = value.as_str()?;
        let bytes = if kind == DataKind::Secret { decode(text)? } else { Bytes::from(text.to_owned()) };
        Some((key.clone(), bytes))
    });
    let binary = strings("binaryData").filter_map(|(key, value)| Some((key.clone(), decode(value.as_str()?)?)));
    plain.chain(binary).collect()
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
