//! Opens the connection to the cluster and keeps the state equal to it.

use yew::platform::spawn_local;
use yew::prelude::*;

use crate::services::api::{self, Abort};
use crate::services::reflector::{self, Batch};
use crate::state::{Action, Connection, Kind, State};

/// Connects as long as the component lives.
#[hook]
pub fn use_cluster(dispatch: UseReducerDispatcher<State>) {
    use_effect_with((), move |()| {
        let abort = Abort::new().ok();
        if let Some(abort) = abort.clone() {
            spawn_local(async move {
                let lost = dispatch.clone();
                match api::opened(move |message| lost.dispatch(Action::Connected(Connection::Lost(message)))).await {
                    Ok(restored) => dispatch.dispatch(Action::Connected(Connection::Live { restored })),
                    Err(message) => return dispatch.dispatch(Action::Connected(Connection::Lost(message))),
                }
                let batch = Batch::new(move |changes| dispatch.dispatch(Action::Changed(changes)));
                for kind in Kind::ALL {
                    spawn_local(reflector::run(kind, batch.clone(), abort.clone()));
                }
            });
        }
        move || {
            if let Some(abort) = abort {
                abort.abort();
            }
        }
    });
}
