//! What happened lately, as the cluster's own events tell it.

use yew::prelude::*;

use super::ago::Ago;
use crate::model::Event;
use crate::state::State;

/// Properties of [`EventsView`].
#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
    /// Only events about this namespace and name.
    #[prop_or_default]
    pub about: Option<(AttrValue, AttrValue)>,
    pub most: usize,
}

/// A feed, latest first.
#[component]
pub fn EventsView(props: &Props) -> Html {
    let about = props.about.as_ref().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
    let events = props.state.latest_events(about, props.most);
    if events.is_empty() {
        return html! { <p class="empty-note">{ "No events yet." }</p> };
    }
    html! { <ol class="events">{ for events.iter().map(|event| line(event, about.is_some())) }</ol> }
}

fn line(event: &Event, short: bool) -> Html {
    let object = &event.involved_object;
    let count = event.count.filter(|count| *count > 1).map(|count| format!(" ×{count}"));
    html! {
        <li class={classes!("event", (event.kind == "Warning").then_some("warning"))} key={&*event.metadata.id()}>
            <span class="event-head">
                <Ago at={event.at().to_owned()} />
                <b>{ &event.reason }</b>{ count }
                if !short { <span class="event-object">{ format!("{}/{}", object.kind.to_lowercase(), object.name) }</span> }
            </span>
            <span class="event-text">{ &event.message }</span>
        </li>
    }
}
