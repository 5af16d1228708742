//! Things that happen because time passes.

use gloo_timers::callback::{Interval, Timeout};
use yew::prelude::*;

use crate::model::Id;
use crate::services::bridge;
use crate::state::{Action, State};

/// How long a pod that is gone stays visible.
const FAREWELL_MS: u32 = 600;

/// The cluster's time in milliseconds since 1970, read again every `period` real milliseconds.
#[hook]
pub fn use_now(period: u32) -> f64 {
    let now = use_state_eq(bridge::cluster_now);
    let set = now.setter();
    use_effect_with(period, move |period| {
        let timer = Interval::new(*period, move || set.set(bridge::cluster_now()));
        move || drop(timer)
    });
    *now
}

/// Takes pods off the screen when they have faded.
#[hook]
pub fn use_sweep(state: &UseReducerHandle<State>) {
    let leaving: Vec<Id> = state.leaving.keys().cloned().collect();
    let dispatch = state.dispatcher();
    use_effect_with(leaving, move |leaving| {
        if !leaving.is_empty() {
            let leaving = leaving.clone();
            Timeout::new(FAREWELL_MS, move || dispatch.dispatch(Action::Swept(leaving))).forget();
        }
    });
}
