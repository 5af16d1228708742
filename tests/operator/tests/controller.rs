//! Rust's client: its controllers, watches in both ways to begin them, server-side apply, finalizers, events.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Config, ResourceExt as _};
use wasmkube_test_operator::{Greeting, GreetingSpec, install, run};
use wasmkube_tests::Cluster;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn client(cluster: &Cluster) -> Result<Client> {
    let file = Kubeconfig::read_from(cluster.data().join("kubeconfig"))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn greeting(text: &str, count: u32) -> Greeting {
    Greeting::new("hello", GreetingSpec { text: text.to_owned(), count })
}

#[tokio::test]
async fn a_controller_makes_what_is_wanted_and_cleans_up() -> Result<()> {
    let cluster = Cluster::start(&["--control-plane-only", "--engine", "native"])?;
    let client = client(&cluster).await?;
    install(&client).await?;
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let controller = tokio::spawn(run(client.clone(), config).for_each(|_| async {}));
        tokio::time::timeout(PATIENCE, life(&client)).await.context("the operator did not get there")??;
        controller.abort();
    }
    Ok(())
}

/// A greeting from its creation to its end.
async fn life(client: &Client) -> Result<()> {
    let greetings: Api<Greeting> = Api::default_namespaced(client.clone());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    greetings.create(&PostParams::default(), &greeting("hi", 2)).await?;
    await_made(&greetings, 2).await?;
    ensure!(text(&maps, "hello-1").await? == "hi");

    // What it owns comes back, and follows the spec.
    maps.delete("hello-0", &DeleteParams::default()).await?;
    await_condition(maps.clone(), "hello-0", |map: Option<&ConfigMap>| map.is_some()).await?;
    let apply = PatchParams::apply("person").force();
    greetings.patch("hello", &apply, &Patch::Apply(greeting("good morning", 3))).await?;
    await_made(&greetings, 3).await?;
    ensure!(text(&maps, "hello-0").await? == "good morning");
    let scale = greetings.get_scale("hello").await?;
    ensure!(scale.spec.and_then(|s| s.replicas) == Some(3), "the scale is the count");
    greetings.patch_scale("hello", &PatchParams::default(), &Patch::Merge(serde_json::json!({"spec": {"replicas": 1}}))).await?;
    await_made(&greetings, 1).await?;
    await_condition(maps.clone(), "hello-2", |map: Option<&ConfigMap>| map.is_none()).await?;

    let refused = greetings.patch("hello", &apply, &Patch::Apply(greeting("many", 6))).await;
    let refused = refused.err().context("six are too many")?.to_string();
    ensure!(refused.contains("spec.count in body should be less than or equal to 5"), "{refused}");

    let reasons = |list: Vec<Event>| list.into_iter().filter_map(|event| event.reason).collect::<Vec<_>>();
    let events: Api<Event> = Api::default_namespaced(client.clone());
    let about = ListParams::default().fields("regarding.kind=Greeting,regarding.name=hello");
    let uid = greetings.get("hello").await?.uid().context("no uid")?;
    greetings.delete("hello", &DeleteParams::foreground()).await?;
    await_condition(greetings, "hello", conditions::is_deleted(&uid)).await?;
    await_condition(maps.clone(), "hello-0", |map: Option<&ConfigMap>| map.is_none()).await?;
    let seen = reasons(events.list(&about).await?.items);
    ensure!(seen.contains(&"Greeted".to_owned()) && seen.contains(&"Parted".to_owned()), "{seen:?}");
    Ok(())
}

/// Waits until the status says so of the newest spec.
async fn await_made(greetings: &Api<Greeting>, count: u32) -> Result<()> {
    let made = |greeting: Option<&Greeting>| {
        greeting.is_some_and(|greeting| {
            let status = greeting.status.as_ref();
            status.is_some_and(|s| s.made == count && s.observed_generation == greeting.metadata.generation)
        })
    };
    await_condition(greetings.clone(), "hello", made).await?;
    Ok(())
}

async fn text(maps: &Api<ConfigMap>, name: &str) -> Result<String> {
    maps.get(name).await?.data.and_then(|mut data| data.remove("text")).context("no text")
}

#[tokio::test]
async fn watchers_see_the_same_in_both_ways() -> Result<()> {
    let cluster = Cluster::start(&["--control-plane-only", "--engine", "native"])?;
    let client = client(&cluster).await?;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for config in [watcher::Config::default().page_size(1), watcher::Config::default().streaming_lists()] {
        let named = |name: &str| ConfigMap {
            metadata: kube::api::ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
            ..Default::default()
        };
        for name in ["a", "b"] {
            maps.create(&PostParams::default(), &named(name)).await?;
        }
        let mut events = pin!(watcher(maps.clone(), config));
        let mut seen = Vec::new();
        loop {
            let event = tokio::time::timeout(PATIENCE, events.next()).await?.context("the watch ended")??;
            match event {
                watcher::Event::Init => seen.push("init".to_owned()),
                watcher::Event::InitApply(map) => seen.push(format!("there is {}", map.name_any())),
                watcher::Event::InitDone => {
                    seen.push("that is all".to_owned());
                    maps.delete("a", &DeleteParams::default()).await?;
                    maps.patch("b", &PatchParams::default(), &Patch::Merge(serde_json::json!({"data": {"k": "v"}}))).await?;
                    maps.delete("b", &DeleteParams::default()).await?;
                }
                watcher::Event::Apply(map) => seen.push(format!("changed {}", map.name_any())),
                watcher::Event::Delete(map) => seen.push(format!("gone {}", map.name_any())),
            }
            if seen.last().is_some_and(|last| last == "gone b") {
                break;
            }
        }
        seen.retain(|line| !line.ends_with("kube-root-ca.crt"));
        ensure!(seen == ["init", "there is a", "there is b", "that is all", "gone a", "changed b", "gone b"], "{seen:?}");
    }
    Ok(())
}
