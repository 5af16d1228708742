//! A small operator in Rust, as kube's users write them: a kind of its own, a controller that owns objects, a finalizer, events.
//! The test runs it against the assembled server. Nothing here knows wasmkube.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Api, Client, CustomResource, CustomResourceExt as _, Resource as _, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

const MANAGER: &str = "greeter";
const FINALIZER: &str = "greetings.example.com/cleanup";

/// What is wanted: so many ConfigMaps, each with this text.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(group = "greetings.example.com", version = "v1", kind = "Greeting", namespaced, status = "GreetingStatus")]
#[kube(shortname = "greet", category = "all")]
#[kube(printcolumn = r#"{"name": "Count", "type": "integer", "jsonPath": ".spec.count"}"#)]
#[kube(printcolumn = r#"{"name": "Made", "type": "integer", "jsonPath": ".status.made"}"#)]
#[kube(scale(spec_replicas_path = ".spec.count", status_replicas_path = ".status.made"))]
#[kube(validation = "size(self.metadata.name) < 20")]
pub struct GreetingSpec {
    /// The text.
    pub text: String,
    /// How often.
    #[schemars(range(min = 0, max = 5))]
    #[serde(default = "one")]
    pub count: u32,
}

fn one() -> u32 {
    1
}

/// What there is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
pub struct GreetingStatus {
    /// ConfigMaps made.
    pub made: u32,
    /// The generation of the spec this is about.
    #[serde(rename = "observedGeneration")]
    pub observed_generation: Option<i64>,
}

/// What stops a reconciliation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API said no.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The finalizer could not be kept.
    #[error(transparent)]
    Finalizer(#[from] Box<finalizer::Error<kube::Error>>),
}

struct Context {
    client: Client,
    recorder: Recorder,
}

/// Installs the definition and waits until its kind is served.
pub async fn install(client: &Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = Greeting::crd_name();
    definitions.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(Greeting::crd())).await?;
    await_condition(definitions, name, conditions::is_crd_established()).await?;
    Ok(())
}

/// Reconciles for as long as the stream is polled; each item is one reconciliation.
pub fn run(client: Client, config: watcher::Config) -> impl Stream<Item = Result<(), String>> {
    let recorder = Recorder::new(client.clone(), MANAGER.into());
    let context = Arc::new(Context { client: client.clone(), recorder });
    Controller::new(Api::<Greeting>::all(client.clone()), config.clone())
        .owns(Api::<ConfigMap>::all(client), config)
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(100)), context)
        .map(|result| result.map(drop).map_err(|error| error.to_string()))
}

async fn reconcile(greeting: Arc<Greeting>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = greeting.namespace().unwrap_or_default();
    let greetings: Api<Greeting> = Api::namespaced(context.client.clone(), &namespace);
    let done = finalizer(&greetings, FINALIZER, greeting, |event| async {
        match event {
            finalizer::Event::Apply(greeting) => apply(&greeting, &context).await,
            finalizer::Event::Cleanup(greeting) => clean_up(&greeting, &context).await,
        }
    });
    done.await.map_err(|error| Box::new(error).into())
}

async fn apply(greeting: &Greeting, context: &Context) -> Result<Action, kube::Error> {
    let (name, namespace) = (greeting.name_any(), greeting.namespace().unwrap_or_default());
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let apply = PatchParams::apply(MANAGER).force();
    for number in 0..greeting.spec.count {
        let name = format!("{name}-{number}");
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"greeting": greeting.name_any()}, "ownerReferences": [greeting.controller_owner_ref(&())]},
            "data": {"text": greeting.spec.text},
        });
        maps.patch(&name, &apply, &Patch::Apply(map)).await?;
    }
    let mine = ListParams::default().labels(&format!("greeting={name}"));
    for extra in maps.list(&mine).await?.items.into_iter().skip(usize::try_from(greeting.spec.count).unwrap_or_default()) {
        maps.delete(&extra.name_any(), &DeleteParams::default()).await?;
    }
    let made = GreetingStatus { made: greeting.spec.count, observed_generation: greeting.metadata.generation };
    if greeting.status.as_ref().is_none_or(|s| (s.made, s.observed_generation) != (made.made, made.observed_generation)) {
        let status = json!({"apiVersion": "greetings.example.com/v1", "kind": "Greeting", "status": made});
        let greetings: Api<Greeting> = Api::namespaced(context.client.clone(), &namespace);
        greetings.patch_status(&name, &apply, &Patch::Apply(status)).await?;
        report(greeting, context, "Greeted").await?;
    }
    Ok(Action::await_change())
}

async fn clean_up(greeting: &Greeting, context: &Context) -> Result<Action, kube::Error> {
    report(greeting, context, "Parted").await?;
    Ok(Action::await_change())
}

async fn report(greeting: &Greeting, context: &Context, reason: &str) -> Result<(), kube::Error> {
    let note = Some(greeting.spec.text.clone());
    let event = Event { type_: EventType::Normal, reason: reason.into(), note, action: "Reconcile".into(), secondary: None };
    context.recorder.publish(&event, &greeting.object_ref(&())).await
}
