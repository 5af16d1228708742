//! The YAML editor with its examples and the Apply button.

use js_sys::Array;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use yew::platform::spawn_local;
use yew::prelude::*;

use crate::manifest::{Finding, findings};
use crate::services::api::{self, Command};
use crate::services::bridge::{self, Editor as Area};

/// The manifest's name for kubectl: `kubectl apply -f manifest.yaml` works in the terminal.
pub const FILE: &str = "manifest.yaml";

/// Manifests to start from.
pub const EXAMPLES: [(&str, &str); 4] = [
    ("Deployment and Service", include_str!("../../examples/web.yaml")),
    ("Rolling update", include_str!("../../examples/update.yaml")),
    ("Crash loop", include_str!("../../examples/crash-loop.yaml")),
    ("Does not fit", include_str!("../../examples/unschedulable.yaml")),
];

/// What came of the last Apply.
#[derive(Clone, PartialEq)]
enum Outcome {
    Nothing,
    Busy,
    Done(String),
    Failed(String),
}

/// Properties of [`Editor`].
#[derive(Properties, PartialEq)]
pub struct Props {
    /// The manifest.
    pub text: AttrValue,
    pub on_change: Callback<String>,
    /// Show this example; the number tells two wishes for the same one apart.
    pub wish: Option<(u32, usize)>,
}

/// The editor pane.
#[component]
pub fn Editor(props: &Props) -> Html {
    let place = use_node_ref();
    let area = use_mut_ref(|| None::<Area>);
    let text = use_mut_ref(|| props.text.to_string());
    let outcome = use_state(|| Outcome::Nothing);
    let apply = {
        let (area, text, outcome) = (area.clone(), text.clone(), outcome.setter());
        Callback::from(move |()| {
            let (area, manifest, outcome) = (area.borrow().clone(), text.borrow().clone(), outcome.clone());
            outcome.set(Outcome::Busy);
            spawn_local(async move {
                let (shown, found) = run_apply(manifest).await;
                outcome.set(shown);
                if let Some(area) = area {
                    area.show(&found.iter().map(finding_object).collect::<Array>());
                }
            });
        })
    };
    use_area(place.clone(), area.clone(), text.clone(), props.on_change.clone(), apply.clone());
    let show = {
        let (area, text, on_change, outcome) = (area.clone(), text.clone(), props.on_change.clone(), outcome.setter());
        Callback::from(move |index: usize| {
            let Some((_, example)) = EXAMPLES.get(index) else { return };
            outcome.set(Outcome::Nothing);
            match &*area.borrow() {
                Some(area) => area.set(example),
                None => *text.borrow_mut() = (*example).to_owned(),
            }
            on_change.emit((*example).to_owned());
        })
    };
    {
        let show = show.clone();
        use_effect_with(props.wish, move |wish| {
            if let Some((_, index)) = wish {
                show.emit(*index);
            }
        });
    }
    let choose = Callback::from(move |event: web_sys::MouseEvent| {
        let chosen = event.target_dyn_into::<web_sys::Element>().and_then(|e| e.get_attribute("data-index"));
        if let Some(index) = chosen.and_then(|index| index.parse().ok()) {
            show.emit(index);
        }
    });
    html! {
        <section class="pane editor" aria-label="Manifest editor">
            <header class="pane-head">
                <h2>{ FILE }</h2>
                <div class="examples" role="group" aria-label="Examples" onclick={choose}>
                    { for EXAMPLES.iter().enumerate().map(|(index, (name, _))| html! {
                        <button type="button" class="chip" data-index={index.to_string()}>{ name }</button>
                    }) }
                </div>
                <button type="button" class="button primary" title="Ctrl-Enter" disabled={*outcome == Outcome::Busy}
                    onclick={Callback::from(move |_: MouseEvent| apply.emit(()))}>{ "Apply" }</button>
            </header>
            <div class="editor-area" ref={place} />
            { outcome_view(&outcome) }
        </section>
    }
}

fn outcome_view(outcome: &Outcome) -> Html {
    let (class, text) = match outcome {
        Outcome::Nothing => return html! {},
        Outcome::Busy => ("busy", "Applying…"),
        Outcome::Done(text) => ("good", text.as_str()),
        Outcome::Failed(text) => ("bad", text.as_str()),
    };
    html! { <pre class={classes!("outcome", class)} role="status">{ text }</pre> }
}

async fn run_apply(manifest: String) -> (Outcome, Vec<Finding>) {
    let argv = ["apply", "-f", FILE].map(str::to_owned).to_vec();
    let command = Command { argv, stdin: String::new(), files: vec![(FILE.to_owned(), manifest.clone())] };
    match api::kubectl_output(&command).await {
        Ok(printed) => (Outcome::Done(printed.trim_end().to_owned()), Vec::new()),
        Err(printed) => {
            let found = findings(&manifest, &printed);
            (Outcome::Failed(printed.trim_end().to_owned()), found)
        }
    }
}

fn finding_object(finding: &Finding) -> JsValue {
    bridge::object(&[("line", (finding.line as u32).into()), ("message", finding.message.as_str().into())])
}

/// Puts a CodeMirror into `place` for as long as the component lives.
#[hook]
fn use_area(
    place: NodeRef,
    area: std::rc::Rc<std::cell::RefCell<Option<Area>>>,
    text: std::rc::Rc<std::cell::RefCell<String>>,
    on_change: Callback<String>,
    on_apply: Callback<()>,
) {
    use_effect_with(place, move |place| {
        let changed = {
            let text = text.clone();
            Closure::<dyn FnMut(String)>::new(move |now: String| {
                *text.borrow_mut() = now.clone();
                on_change.emit(now);
            })
        };
        let apply = Closure::<dyn FnMut()>::new(move || on_apply.emit(()));
        if let Some(place) = place.cast::<web_sys::Element>() {
            let promise = bridge::create_editor(&place, &text.borrow(), &changed, &apply);
            let area = area.clone();
            spawn_local(async move {
                if let Ok(made) = JsFuture::from(promise).await {
                    let made: Area = made.unchecked_into();
                    // An example may have been chosen while the editor was loading.
                    let now = text.borrow().clone();
                    made.set(&now);
                    area.replace(Some(made));
                }
            });
        }
        move || {
            if let Some(area) = area.take() {
                area.dispose_editor();
            }
            drop((changed, apply));
        }
    });
}
