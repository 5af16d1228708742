//! Details of what was clicked, at the side of the picture.

use std::rc::Rc;

use yew::platform::spawn_local;
use yew::prelude::*;

use super::ago::Ago;
use super::events::EventsView;
use super::icon::icon;
use crate::model::{Condition, Pod, Workload};
use crate::services::api::{self, Abort, Command};
use crate::state::{Action, Kind, Selection, State};

/// What the drawer shows of the object.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Page {
    Overview,
    Yaml,
    Logs,
}

/// Properties of [`Drawer`].
#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
    pub selection: Selection,
    /// Type and run this in the terminal.
    pub on_command: Callback<String>,
}

/// The drawer; key it by the selection.
#[component]
pub fn Drawer(props: &Props) -> Html {
    let page = use_state(|| Page::Overview);
    let Selection { kind, id } = &props.selection;
    let close = {
        let dispatch = props.state.dispatcher();
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Deselect))
    };
    let escape = {
        let dispatch = props.state.dispatcher();
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Escape" {
                dispatch.dispatch(Action::Deselect);
            }
        })
    };
    let focus = use_node_ref();
    use_effect_with(focus.clone(), |place| {
        if let Some(place) = place.cast::<web_sys::HtmlElement>() {
            // Focus is a comfort for keyboards; where it cannot be given nothing is lost.
            let _ = place.focus();
        }
    });
    let (word, name) = (kind_word(*kind), id.rsplit('/').next().unwrap_or(id).to_owned());
    let tab = |this: Page, text: &'static str| {
        let setter = page.setter();
        html! {
            <button type="button" role="tab" aria-selected={(*page == this).to_string()}
                onclick={Callback::from(move |_: MouseEvent| setter.set(this))}>{ text }</button>
        }
    };
    html! {
        <aside class="drawer" aria-label={format!("Details of {word} {name}")} onkeydown={escape}>
            <header class="drawer-head">
                <div class="drawer-title"><span class="drawer-kind">{ word }</span><h2>{ &name }</h2></div>
                <button type="button" class="button quiet-button" aria-label="Close details" onclick={close} ref={focus}>{ icon("close") }</button>
            </header>
            <div class="drawer-tabs" role="tablist">
                { tab(Page::Overview, "Overview") }
                { tab(Page::Yaml, "YAML") }
                if *kind == Kind::Pod { { tab(Page::Logs, "Logs") } }
            </div>
            <div class="drawer-body">
                { match *page {
                    Page::Overview => overview(props),
                    Page::Yaml => html! { <Yaml selection={props.selection.clone()} version={version(props)} /> },
                    Page::Logs => html! { <Logs id={props.selection.id.to_string()} /> },
                } }
            </div>
            { actions(props) }
        </aside>
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Pod => "pod",
        Kind::Node => "node",
        Kind::Deployment => "deployment",
        Kind::ReplicaSet => "replicaset",
        Kind::Service => "service",
        Kind::EndpointSlice => "endpointslice",
        Kind::Event => "event",
    }
}

fn version(props: &Props) -> AttrValue {
    let (state, id) = (&props.state, &props.selection.id);
    let meta = match props.selection.kind {
        Kind::Pod => state.pods.get(id).map(|o| &o.metadata),
        Kind::Node => state.nodes.get(id).map(|o| &o.metadata),
        _ => state.deployments.get(id).map(|o| &o.metadata),
    };
    meta.map(|meta| meta.resource_version.clone()).unwrap_or_default().into()
}

fn overview(props: &Props) -> Html {
    let (state, id) = (&props.state, &props.selection.id);
    let body = match props.selection.kind {
        Kind::Pod => state.pods.get(id).map(pod_overview),
        Kind::Node => state.nodes.get(id).map(|node| {
            let resource = |name: &str| node.status.allocatable.get(name).cloned().unwrap_or_else(|| "?".to_owned());
            html! {
                <>
                    <dl class="facts">
                        { fact("CPU", &resource("cpu")) }
                        { fact("Memory", &resource("memory")) }
                        { fact("Pods, at most", &resource("pods")) }
                    </dl>
                    { conditions(&node.status.conditions) }
                </>
            }
        }),
        Kind::Deployment => state.deployments.get(id).map(|deployment| deployment_overview(props, deployment)),
        _ => None,
    };
    let (namespace, name) = id.split_once('/').unwrap_or(("", id));
    html! {
        <>
            { body }
            <h3>{ "Events" }</h3>
            <EventsView state={state.clone()} about={Some((AttrValue::from(namespace.to_owned()), AttrValue::from(name.to_owned())))} most={12} />
        </>
    }
}

fn pod_overview(pod: &Rc<Pod>) -> Html {
    let (ready, all) = pod.readiness();
    html! {
        <>
            <p class={classes!("verdict", pod.look().class())}><b>{ pod.word() }</b>{ pod.why().map(|why| format!(" — {why}")) }</p>
            <dl class="facts">
                { fact("Ready", &format!("{ready}/{all}")) }
                { fact("Restarts", &pod.restarts().to_string()) }
                { fact("Node", if pod.spec.node_name.is_empty() { "none yet" } else { &pod.spec.node_name }) }
                { fact("Address", if pod.status.pod_ip.is_empty() { "none yet" } else { &pod.status.pod_ip }) }
                { fact("Namespace", &pod.metadata.namespace) }
                <div><dt>{ "Age" }</dt><dd><Ago at={pod.metadata.creation_timestamp.clone()} /></dd></div>
                if let Some(owner) = pod.metadata.controller() {
                    { fact("Controlled by", &format!("{}/{}", owner.kind, owner.name)) }
                }
            </dl>
            <h3>{ "Containers" }</h3>
            <ul class="containers">
                { for pod.spec.containers.iter().map(|container| {
                    let status = pod.status.container_statuses.iter().find(|status| status.name == container.name);
                    html! { <li><b>{ &container.name }</b><code>{ &container.image }</code><span>{ status.map(container_word) }</span></li> }
                }) }
            </ul>
            { conditions(&pod.status.conditions) }
        </>
    }
}

fn container_word(status: &crate::model::ContainerStatus) -> String {
    let detail = |word: &str, reason: &str| if reason.is_empty() { word.to_owned() } else { format!("{word}: {reason}") };
    match &status.state {
        state if state.running.is_some() => if status.ready { "running, ready" } else { "running, not ready" }.to_owned(),
        crate::model::ContainerState { waiting: Some(waiting), .. } => detail("waiting", &waiting.reason),
        crate::model::ContainerState { terminated: Some(ended), .. } => {
            format!("{}, exit code {}", detail("ended", &ended.reason), ended.exit_code.unwrap_or(0))
        }
        _ => String::new(),
    }
}

fn deployment_overview(props: &Props, deployment: &Rc<Workload>) -> Html {
    let status = &deployment.status;
    let current = deployment.revision();
    let undo = |revision: u64| {
        let (run, meta) = (props.on_command.clone(), deployment.metadata.clone());
        Callback::from(move |_: MouseEvent| {
            run.emit(format!("kubectl rollout undo deployment/{} -n {} --to-revision={revision}", meta.name, meta.namespace))
        })
    };
    html! {
        <>
            <dl class="facts">
                { fact("Wanted", &deployment.spec.replicas.to_string()) }
                { fact("Updated", &status.updated_replicas.to_string()) }
                { fact("Ready", &status.ready_replicas.to_string()) }
                { fact("Available", &status.available_replicas.to_string()) }
            </dl>
            <h3>{ "Revisions" }</h3>
            <ul class="containers">
                { for props.state.history(deployment).iter().map(|set| html! {
                    <li>
                        <b>{ format!("{}", set.revision()) }</b><code>{ set.images() }</code>
                        <span>{ format!("{} of {} ready", set.status.ready_replicas, set.spec.replicas) }</span>
                        if set.revision() != current {
                            <button type="button" class="chip" onclick={undo(set.revision())}>{ "Go back" }</button>
                        }
                    </li>
                }) }
            </ul>
            { conditions(&status.conditions) }
        </>
    }
}

fn conditions(conditions: &[Condition]) -> Html {
    html! {
        <>
            <h3>{ "Conditions" }</h3>
            <ul class="conditions">
                { for conditions.iter().map(|condition| html! {
                    <li class={classes!((condition.status == "True").then_some("true"))} title={condition.message.clone()}>
                        <span class="dot" /><b>{ &condition.kind }</b><span>{ &condition.status }</span><span class="quiet">{ &condition.reason }</span>
                    </li>
                }) }
            </ul>
        </>
    }
}

fn fact(name: &str, value: &str) -> Html {
    html! { <div><dt>{ name }</dt><dd>{ value }</dd></div> }
}

fn actions(props: &Props) -> Html {
    let Selection { kind, id } = &props.selection;
    let (namespace, name) = id.split_once('/').unwrap_or(("", id));
    let place = if namespace.is_empty() { String::new() } else { format!(" -n {namespace}") };
    let command = |text: String| {
        let run = props.on_command.clone();
        Callback::from(move |_: MouseEvent| run.emit(text.clone()))
    };
    let delete = {
        let path = kind.object_path(id);
        Callback::from(move |_: MouseEvent| {
            let path = path.clone();
            spawn_local(async move { drop(api::delete(&path).await) });
        })
    };
    let word = kind_word(*kind);
    html! {
        <footer class="drawer-foot">
            <button type="button" class="button" onclick={command(format!("kubectl describe {word} {name}{place}"))}>{ "Describe" }</button>
            if *kind == Kind::Deployment {
                <button type="button" class="button" onclick={command(format!("kubectl rollout restart deployment/{name}{place}"))}>{ "Restart" }</button>
            }
            <button type="button" class="button danger" onclick={delete}>{ icon("trash") }<span>{ "Delete" }</span></button>
        </footer>
    }
}

#[derive(Properties, PartialEq)]
struct YamlProps {
    selection: Selection,
    version: AttrValue,
}

/// The object as `kubectl get -o yaml` prints it, fetched again when it changes.
#[component]
fn Yaml(props: &YamlProps) -> Html {
    let text = use_state(String::new);
    let setter = text.setter();
    use_effect_with((props.selection.clone(), props.version.clone()), move |(selection, _)| {
        let (namespace, name) = selection.id.split_once('/').unwrap_or(("", &selection.id));
        let mut argv = vec!["get", kind_word(selection.kind), name, "-o", "yaml"];
        if !namespace.is_empty() {
            argv.extend(["-n", namespace]);
        }
        let command = Command { argv: argv.into_iter().map(str::to_owned).collect(), ..Command::default() };
        spawn_local(async move { setter.set(api::kubectl_output(&command).await.unwrap_or_else(|error| error)) });
    });
    html! { <pre class="code" tabindex="0">{ &*text }</pre> }
}

#[derive(Properties, PartialEq)]
struct LogsProps {
    id: AttrValue,
}

/// What the pod's first container prints, as it prints it.
#[component]
fn Logs(props: &LogsProps) -> Html {
    let text = use_state(String::new);
    let setter = text.setter();
    use_effect_with(props.id.clone(), move |id| {
        let path = format!("{}/log?follow=true&tailLines=200", Kind::Pod.object_path(id));
        let abort = Abort::new().ok();
        if let Some(abort) = abort.clone() {
            let all = Rc::new(std::cell::RefCell::new(String::new()));
            spawn_local(async move {
                let (to, failed) = (setter.clone(), setter);
                let take = move |piece: String| {
                    all.borrow_mut().push_str(&piece);
                    to.set(all.borrow().clone());
                };
                match api::stream(&path, take, &abort).await {
                    Err(failure) if !abort.aborted() => failed.set(failure.message),
                    _ => {}
                }
            });
        }
        move || {
            if let Some(abort) = abort {
                abort.abort();
            }
        }
    });
    html! { <pre class="code" tabindex="0">{ if text.is_empty() { "Nothing printed yet." } else { &text } }</pre> }
}
