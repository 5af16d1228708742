//! A node in the picture, with its pods inside.

use yew::prelude::*;

use super::icon::icon;
use super::pod_tile::PodTile;
use crate::picture::NodeBox;
use crate::state::{Action, Kind, Selection, State};

/// What can be done to a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    Cordon,
    Uncordon,
    Drain,
    Delete,
}

/// Properties of [`NodeBoxView`].
#[derive(Properties, PartialEq)]
pub struct Props {
    pub node: NodeBox,
    pub selected: Option<Selection>,
    pub dispatch: UseReducerDispatcher<State>,
    /// Do this to the node of this name.
    pub on_deed: Callback<(String, Deed)>,
}

/// A box with a head (name, health, load) and tiles.
#[component]
pub fn NodeBoxView(props: &Props) -> Html {
    let NodeBox { id, node, tiles, cpu, memory } = &props.node;
    let ready = node.as_ref().is_some_and(|node| node.ready());
    let cordoned = node.as_ref().is_some_and(|node| node.spec.unschedulable);
    let menu = use_state(|| false);
    let toggle = {
        let menu = menu.clone();
        Callback::from(move |_: MouseEvent| menu.set(!*menu))
    };
    let open = {
        let (dispatch, id) = (props.dispatch.clone(), id.clone());
        Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Select(Selection { kind: Kind::Node, id: id.clone() })))
    };
    let deed = |deed: Deed| {
        let (on_deed, id) = (props.on_deed.clone(), id.to_string());
        Callback::from(move |_: MouseEvent| on_deed.emit((id.clone(), deed)))
    };
    let state = match (node.is_some(), ready, cordoned) {
        (false, ..) => "gone",
        (_, false, _) => "not ready",
        (_, _, true) => "cordoned",
        _ => "ready",
    };
    let chosen = |id: &str| props.selected.as_ref().is_some_and(|s| &*s.id == id && s.kind == Kind::Pod);
    html! {
        <section class={classes!("node", state.replace(' ', "-"))} aria-label={format!("Node {id}, {state}")}>
            <header class="node-head">
                <button type="button" class="node-name" onclick={open} disabled={node.is_none()}>
                    <span class="dot" /> { &**id }
                </button>
                if state != "ready" { <span class="badge">{ state }</span> }
                <span class="node-count">{ tiles.iter().filter(|tile| !tile.gone).count() }</span>
                if node.is_some() {
                    <div class="menu">
                        <button type="button" class="menu-button" aria-label={format!("Actions for {id}")} aria-expanded={menu.to_string()}
                            onclick={toggle.clone()}>{ icon("more") }</button>
                        if *menu {
                            <button type="button" class="menu-backdrop" aria-label="Close the menu" onclick={toggle.clone()} />
                            <div class="menu-items" onclick={toggle}>
                                if cordoned {
                                    <button type="button" onclick={deed(Deed::Uncordon)}>{ "Uncordon" }</button>
                                } else {
                                    <button type="button" onclick={deed(Deed::Cordon)}>{ "Cordon" }</button>
                                }
                                <button type="button" onclick={deed(Deed::Drain)}>{ "Drain" }</button>
                                <button type="button" class="danger" onclick={deed(Deed::Delete)}>{ "Remove node" }</button>
                            </div>
                        }
                    </div>
                }
            </header>
            <div class="node-load" title={format!("Requested: {:.0}% of CPU, {:.0}% of memory", cpu * 100.0, memory * 100.0)}>
                { load("CPU", *cpu) }
                { load("Mem", *memory) }
            </div>
            <div class="tiles">
                { for tiles.iter().map(|tile| html! {
                    <PodTile key={&*tile.id} tile={tile.clone()} selected={chosen(&tile.id)} dispatch={props.dispatch.clone()} />
                }) }
            </div>
        </section>
    }
}

fn load(name: &str, share: f64) -> Html {
    html! {
        <span class="load">
            <span class="load-name">{ name }</span>
            <span class="load-track"><span class={classes!("load-fill", (share > 0.85).then_some("high"))} style={format!("--share:{share:.3}")} /></span>
        </span>
    }
}
