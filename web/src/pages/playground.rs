//! The playground: picture, editor, terminal and events around one cluster.

use yew::platform::spawn_local;
use yew::prelude::*;

use crate::components::drawer::Drawer;
use crate::components::editor::{EXAMPLES, Editor, FILE};
use crate::components::events::EventsView;
use crate::components::guide::{Guide, Help};
use crate::components::header::Header;
use crate::components::node_box::Deed;
use crate::components::picture::PictureView;
use crate::components::summary::Summary;
use crate::components::tabs::Tabs;
use crate::components::terminal::Terminal;
use crate::hooks::{use_cluster, use_sweep};
use crate::services::bridge;
use crate::state::{Action, Connection, Pane, State};

/// The page.
#[component]
pub fn Playground() -> Html {
    let state = use_reducer(State::default);
    use_cluster(state.dispatcher());
    use_sweep(&state);
    let text = use_state(saved_manifest);
    let command = use_state(|| None::<(u32, AttrValue)>);
    let example = use_state(|| None::<(u32, usize)>);
    let run = {
        let (setter, last, dispatch) = (command.setter(), command.as_ref().map_or(0, |(n, _)| *n), state.dispatcher());
        Callback::from(move |text: String| {
            setter.set(Some((last + 1, text.into())));
            dispatch.dispatch(Action::Show(Pane::Terminal));
        })
    };
    let on_help = {
        let (setter, last, run, dispatch) = (example.setter(), example.map_or(0, |(n, _)| n), run.clone(), state.dispatcher());
        Callback::from(move |help: Help| match help {
            Help::Command(text) => run.emit(text.to_owned()),
            Help::Example(index) => {
                setter.set(Some((last + 1, index)));
                dispatch.dispatch(Action::Show(help.pane()));
            }
        })
    };
    let on_deed = {
        let run = run.clone();
        Callback::from(move |(node, deed): (String, Deed)| match deed {
            Deed::Cordon => run.emit(format!("kubectl cordon {node}")),
            Deed::Uncordon => run.emit(format!("kubectl uncordon {node}")),
            Deed::Drain => run.emit(format!("kubectl drain {node} --ignore-daemonsets --force")),
            Deed::Delete => run.emit(format!("kubectl delete node {node}")),
        })
    };
    let on_reset = Callback::from(|()| {
        spawn_local(async { drop(wasm_bindgen_futures::JsFuture::from(bridge::start_over()).await) });
    });
    let on_change = {
        let text = text.setter();
        Callback::from(move |now: String| {
            bridge::remember("manifest", &now);
            text.set(now);
        })
    };
    let files = vec![(FILE.to_owned(), (*text).clone())];
    html! {
        <div class="app" data-pane={pane_name(state.pane)}>
            <Header status={status(&state.connection)} {on_reset} />
            if let Connection::Lost(message) = &state.connection { { lost(message) } }
            <main class="panes">
                <section class="pane cluster" aria-label="Cluster">
                    <Summary state={state.clone()} />
                    <PictureView state={state.clone()} {on_deed} />
                    <Guide state={state.clone()} {on_help} />
                </section>
                <Editor text={(*text).clone()} {on_change} wish={*example} />
                <Terminal {files} wish={(*command).clone()} />
                <section class="pane feed" aria-label="Events">
                    <header class="pane-head"><h2>{ "Events" }</h2></header>
                    <EventsView state={state.clone()} most={80} />
                </section>
                if let Some(selection) = &state.selection {
                    <Drawer key={format!("{:?} {}", selection.kind, selection.id)} state={state.clone()}
                        selection={selection.clone()} on_command={run} />
                }
            </main>
            <Tabs pane={state.pane} dispatch={state.dispatcher()} />
        </div>
    }
}

fn saved_manifest() -> String {
    let saved = bridge::recall("manifest");
    if saved.is_empty() { EXAMPLES[0].1.to_owned() } else { saved }
}

fn status(connection: &Connection) -> (AttrValue, AttrValue) {
    let (text, class) = match connection {
        Connection::Opening => ("Starting", "busy"),
        Connection::Live { restored: false } => ("Running in this tab", "good"),
        Connection::Live { restored: true } => ("Restored", "good"),
        Connection::Lost(_) => ("Stopped", "bad"),
    };
    (text.into(), class.into())
}

fn lost(message: &str) -> Html {
    let reload = Callback::from(|_: MouseEvent| {
        if let Some(window) = web_sys::window() {
            drop(window.location().reload());
        }
    });
    html! {
        <div class="banner" role="alert">
            <p><b>{ "The control plane stopped. " }</b>{ message }{ " Your objects are saved." }</p>
            <button type="button" class="button" onclick={reload}>{ "Start it again" }</button>
        </div>
    }
}

fn pane_name(pane: Pane) -> &'static str {
    match pane {
        Pane::Cluster => "cluster",
        Pane::Editor => "editor",
        Pane::Terminal => "terminal",
        Pane::Events => "events",
    }
}
