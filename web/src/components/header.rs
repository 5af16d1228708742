//! The page's head: name, the cluster's clock, theme.

use yew::prelude::*;

use super::icon::icon;
use crate::hooks::use_now;
use crate::services::bridge;

/// Speeds one can choose.
const SPEEDS: [f64; 4] = [1.0, 10.0, 60.0, 600.0];

/// Properties of [`Header`].
#[derive(Properties, PartialEq)]
pub struct Props {
    /// One word about the connection, and its CSS class.
    pub status: (AttrValue, AttrValue),
    pub on_reset: Callback<()>,
}

/// The head.
#[component]
pub fn Header(props: &Props) -> Html {
    let (text, class) = props.status.clone();
    let reset = props.on_reset.clone();
    html! {
        <header class="head">
            <h1 class="brand"><svg viewBox="0 0 32 32" aria-hidden="true"><path d="M16 2 28 9v14l-12 7L4 23V9z" /><path d="M9.5 12.5 13 20l3-6 3 6 3.5-7.5" /></svg>{ "wasmkube" }</h1>
            <span class={classes!("status", class.to_string())} role="status"><span class="dot" /><span class="status-text">{ text }</span></span>
            <Clock />
            <div class="head-actions">
                <button type="button" class="button quiet-button" title="Delete everything and start with a new cluster" aria-label="Start over"
                    onclick={Callback::from(move |_: MouseEvent| reset.emit(()))}>{ icon("reset") }</button>
                <ThemeButton />
            </div>
        </header>
    }
}

/// The cluster's time, and what one can do with it.
#[component]
fn Clock() -> Html {
    let now = use_now(200);
    let changed = use_force_update();
    let (paused, speed) = (bridge::cluster_paused(), bridge::cluster_speed());
    let act = |action: Box<dyn Fn()>| {
        let changed = changed.clone();
        Callback::from(move |_: MouseEvent| {
            action();
            changed.force_update();
        })
    };
    let clock = String::from(js_sys::Date::new(&now.into()).to_iso_string());
    let label = if paused { "Let the cluster's clock go on" } else { "Stop the cluster's clock" };
    html! {
        <div class={classes!("clock", paused.then_some("paused"))} role="group" aria-label="The cluster's clock">
            <time class="clock-time" title="The cluster's time (UTC)">{ clock.get(11..19).unwrap_or_default() }</time>
            <button type="button" class="clock-button" aria-label={label} title={label} onclick={act(Box::new(move || bridge::set_paused(!paused)))}>
                { icon(if paused { "play" } else { "pause" }) }
            </button>
            <button type="button" class="clock-button" aria-label="Ten seconds ahead" title="Ten seconds ahead" disabled={!paused}
                onclick={act(Box::new(|| bridge::step_clock(10_000.0)))}>{ icon("step") }</button>
            <span class="speeds" role="group" aria-label="Speed">
                { for SPEEDS.map(|factor| html! {
                    <button type="button" aria-pressed={(speed == factor).to_string()} onclick={act(Box::new(move || bridge::set_speed(factor)))}>{ format!("{factor}×") }</button>
                }) }
            </span>
        </div>
    }
}

#[component]
fn ThemeButton() -> Html {
    let dark = use_state(bridge::is_dark);
    let (label, shown, next) = if *dark { ("Light colours", "sun", "light") } else { ("Dark colours", "moon", "dark") };
    let onclick = {
        let dark = dark.clone();
        Callback::from(move |_: MouseEvent| {
            bridge::set_theme(next);
            dark.set(next == "dark");
        })
    };
    html! { <button type="button" class="button quiet-button" aria-label={label} title={label} {onclick}>{ icon(shown) }</button> }
}
