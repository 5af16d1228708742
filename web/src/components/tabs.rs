//! The panes of a narrow screen, at its lower edge.

use yew::prelude::*;

use crate::state::{Action, Pane, State};

/// Properties of [`Tabs`].
#[derive(Properties, PartialEq)]
pub struct Props {
    pub pane: Pane,
    pub dispatch: UseReducerDispatcher<State>,
}

/// A bar of buttons; only shown on narrow screens.
#[component]
pub fn Tabs(props: &Props) -> Html {
    let tab = |(pane, name): (Pane, &'static str)| {
        let dispatch = props.dispatch.clone();
        let onclick = Callback::from(move |_: MouseEvent| dispatch.dispatch(Action::Show(pane)));
        let current = (pane == props.pane).then_some("page");
        html! { <button type="button" {onclick} aria-current={current}>{ name }</button> }
    };
    html! { <nav class="tabs" aria-label="Panes">{ for Pane::ALL.into_iter().map(tab) }</nav> }
}
