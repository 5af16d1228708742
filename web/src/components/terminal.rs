//! The terminal pane: a shell that knows kubectl.

use std::rc::Rc;

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use yew::platform::spawn_local;
use yew::prelude::*;

use crate::services::bridge::{self, Screen};
use crate::services::shell::Shell;

/// Properties of [`Terminal`].
#[derive(Properties, PartialEq)]
pub struct Props {
    /// Files that `-f NAME` and `cat` see: name and text.
    pub files: Vec<(String, String)>,
    /// Type and run this; the number tells two equal wishes apart.
    pub wish: Option<(u32, AttrValue)>,
}

/// The terminal pane.
#[component]
pub fn Terminal(props: &Props) -> Html {
    let place = use_node_ref();
    let shell = use_memo((), |()| Shell::new());
    shell.set_files(props.files.clone());
    {
        let shell = shell.clone();
        use_effect_with(place.clone(), move |place| {
            let typed = {
                let shell = shell.clone();
                Closure::<dyn FnMut(String)>::new(move |keys: String| Shell::keys(&shell, &keys))
            };
            if let Some(place) = place.cast::<web_sys::Element>() {
                let screen = bridge::create_terminal(&place, &typed);
                let shell = shell.clone();
                spawn_local(async move {
                    if let Ok(screen) = JsFuture::from(screen).await {
                        shell.attach(screen.unchecked_into::<Screen>());
                    }
                });
            }
            move || {
                shell.detach();
                drop(typed);
            }
        });
    }
    {
        let shell: Rc<Shell> = (*shell).clone();
        use_effect_with(props.wish.clone(), move |wish| {
            if let Some((_, command)) = wish {
                Shell::type_and_run(&shell, command);
            }
        });
    }
    html! {
        <section class="pane shell" aria-label="Terminal">
            <header class="pane-head"><h2>{ "Terminal" }</h2><span class="quiet">{ "kubectl, with completion by Tab" }</span></header>
            <div class="terminal-area" ref={place} />
        </section>
    }
}
