//! A guided first minute: one line that says what could be tried next. It gets out of the way for good when asked to.

use yew::prelude::*;

use super::icon::icon;
use crate::model::Look;
use crate::services::bridge;
use crate::state::{Pane, State};

/// What "Show me" does.
#[derive(Clone, Debug, PartialEq)]
pub enum Help {
    /// Put this example into the editor.
    Example(usize),
    /// Run this in the terminal.
    Command(&'static str),
}

impl Help {
    /// The pane where it happens.
    pub fn pane(&self) -> Pane {
        match self {
            Help::Example(_) => Pane::Editor,
            Help::Command(_) => Pane::Cluster,
        }
    }
}

/// The steps: what to try, and how the page can help.
pub const STEPS: [(&str, Help); 6] = [
    ("Press Apply: six pods find their nodes.", Help::Example(0)),
    ("Delete a pod. Its ReplicaSet makes a new one at once.", Help::Command("kubectl delete pod -l app=web --wait=false")),
    ("Scale out to twelve pods.", Help::Command("kubectl scale deployment/web --replicas=12")),
    ("Apply a newer image and watch the rolling update.", Help::Example(1)),
    ("Empty a node: its pods move to the others.", Help::Command("kubectl drain sim-0001 --ignore-daemonsets")),
    ("Apply a program that crashes. Click its pods to see why.", Help::Example(2)),
];

/// How far a person has come; steps that were seen to happen are never asked for again.
pub fn reached(state: &State, step: usize) -> bool {
    let web = state.deployments.get("default/web");
    match step {
        0 => web.is_some_and(|web| web.status.ready_replicas > 0),
        1 => state.pods.values().any(|pod| pod.look() == Look::Leaving) || !state.leaving.is_empty(),
        2 => web.is_some_and(|web| web.spec.replicas >= 10),
        3 => web.is_some_and(|web| web.revision() >= 2 && web.status.updated_replicas > 0),
        4 => state.nodes.values().any(|node| node.spec.unschedulable),
        _ => state.pods.values().any(|pod| pod.look() == Look::Failing),
    }
}

/// Properties of [`Guide`].
#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
    pub on_help: Callback<Help>,
}

/// The line.
#[component]
pub fn Guide(props: &Props) -> Html {
    let step = use_state(|| bridge::recall("guide").parse::<usize>().unwrap_or(0));
    let now = *step;
    let go = {
        let step = step.setter();
        move |to: usize| {
            bridge::remember("guide", &to.to_string());
            step.set(to);
        }
    };
    {
        let go = go.clone();
        let done = now < STEPS.len() && reached(&props.state, now);
        use_effect_with((now, done), move |(now, done)| {
            if *done {
                go(now + 1);
            }
        });
    }
    let Some((text, help)) = STEPS.get(now) else { return html! {} };
    let show = {
        let on_help = props.on_help.clone();
        Callback::from(move |_: MouseEvent| on_help.emit(help.clone()))
    };
    let hide = Callback::from(move |_: MouseEvent| go(STEPS.len()));
    html! {
        <aside class="guide" aria-label="What to try">
            <span class="guide-step">{ format!("{}/{}", now + 1, STEPS.len()) }</span>
            <span class="guide-text">{ text }</span>
            <button type="button" class="chip" onclick={show}>{ "Show me" }</button>
            <button type="button" class="quiet-button guide-close" aria-label="No more hints" onclick={hide}>{ icon("close") }</button>
        </aside>
    }
}
