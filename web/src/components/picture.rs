//! The live picture: what waits for a node, and the nodes with their pods.

use yew::prelude::*;

use super::node_box::{Deed, NodeBoxView};
use super::pod_tile::PodTile;
use crate::picture::{density, picture};
use crate::services::bridge;
use crate::state::{Connection, Kind, State};

/// Properties of [`PictureView`].
#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
    pub on_deed: Callback<(String, Deed)>,
}

/// The picture of the whole cluster.
#[component]
pub fn PictureView(props: &Props) -> Html {
    let state = &props.state;
    let drawn = picture(state);
    let place = use_node_ref();
    {
        let place = place.clone();
        use_effect(move || {
            if let Some(root) = place.cast::<web_sys::Element>() {
                bridge::glide(&root);
            }
        });
    }
    let chosen = |id: &str| state.selection.as_ref().is_some_and(|s| &*s.id == id && s.kind == Kind::Pod);
    let opening = state.connection == Connection::Opening;
    html! {
        <div class={classes!("picture", density(state.pods.len()))} ref={place}>
            <section class={classes!("queue", drawn.waiting.is_empty().then_some("empty"))} aria-label="Pods waiting for a node">
                <span class="queue-name">{ "Waiting for a node" }</span>
                <div class="tiles">
                    { for drawn.waiting.iter().map(|tile| html! {
                        <PodTile key={&*tile.id} tile={tile.clone()} selected={chosen(&tile.id)} dispatch={state.dispatcher()} />
                    }) }
                </div>
                if drawn.waiting.is_empty() { <span class="quiet">{ "none" }</span> }
            </section>
            <div class="nodes">
                { for drawn.nodes.iter().map(|node| html! {
                    <NodeBoxView key={&*node.id} node={node.clone()} selected={state.selection.clone()}
                        dispatch={state.dispatcher()} on_deed={props.on_deed.clone()} />
                }) }
                if drawn.nodes.is_empty() {
                    <p class="empty-note">{ if opening { "Starting the control plane…" } else { "No nodes: pods have no place to run." } }</p>
                }
            </div>
        </div>
    }
}
