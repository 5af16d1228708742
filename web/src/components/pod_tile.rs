//! A pod in the picture.

use yew::prelude::*;

use crate::model::Look;
use crate::picture::Tile;
use crate::state::{Action, Kind, Selection, State};

/// Properties of [`PodTile`].
#[derive(Properties, PartialEq)]
pub struct Props {
    pub tile: Tile,
    pub selected: bool,
    pub dispatch: UseReducerDispatcher<State>,
}

/// A tile, coloured by owner and shaped by phase.
#[component]
pub fn PodTile(props: &Props) -> Html {
    let Tile { id, pod, look, colour, outdated, gone } = &props.tile;
    let onclick = {
        let (dispatch, id) = (props.dispatch.clone(), id.clone());
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Select(Selection { kind: Kind::Pod, id: id.clone() })))
    };
    let class = classes!(
        "pod",
        look.class(),
        format!("owner-{colour}"),
        outdated.then_some("outdated"),
        gone.then_some("gone"),
        props.selected.then_some("selected")
    );
    let label = format!("{}, {}", pod.metadata.name, pod.word());
    let mark = match look {
        Look::Failing | Look::Unschedulable => "!",
        Look::Done => "✓",
        _ => "",
    };
    html! {
        <button type="button" {class} {onclick} title={label.clone()} aria-label={label} disabled={*gone} data-key={id.to_string()}>
            <span class="pod-name">{ pod.short_name() }</span>
            if !mark.is_empty() { <span class="pod-mark">{ mark }</span> }
            if pod.restarts() > 0 { <span class="pod-restarts">{ format!("↻{}", pod.restarts()) }</span> }
        </button>
    }
}
