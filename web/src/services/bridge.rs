//! The JavaScript the page stands on (`js/page.ts`): the cluster's interface, terminal, editor and storage.

use js_sys::{Array, Function, Object, Promise};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "wasmkube-page")]
extern "C" {
    pub(super) fn opened(on_crash: &Closure<dyn FnMut(String)>) -> Promise;
    pub(super) fn request(method: &str, path: &str, content_type: &str, body: &str) -> Promise;
    pub(super) fn stream(path: &str, on_text: &Function, signal: &web_sys::AbortSignal) -> Promise;
    pub(super) fn kubectl(
        argv: &Array,
        stdin: &str,
        files: &Array,
        on_print: &Function,
        signal: &web_sys::AbortSignal,
    ) -> Promise;

    /// Milliseconds since 1970 by the cluster's clock.
    #[wasm_bindgen(js_name = clusterNow)]
    pub fn cluster_now() -> f64;
    /// Virtual seconds per real second.
    #[wasm_bindgen(js_name = clusterSpeed)]
    pub fn cluster_speed() -> f64;
    /// Whether the cluster's clock stands still.
    #[wasm_bindgen(js_name = clusterPaused)]
    pub fn cluster_paused() -> bool;
    /// Sets the clock's speed.
    #[wasm_bindgen(js_name = setSpeed)]
    pub fn set_speed(factor: f64);
    /// Stops the clock or lets it go on.
    #[wasm_bindgen(js_name = setPaused)]
    pub fn set_paused(paused: bool);
    /// Moves a stopped clock ahead.
    #[wasm_bindgen(js_name = stepClock)]
    pub fn step_clock(milliseconds: f64);
    /// Forgets the saved cluster and loads the page again.
    #[wasm_bindgen(js_name = startOver)]
    pub fn start_over() -> Promise;
    /// Shows that the page itself failed.
    pub fn crashed(message: &str);
    /// "light", "dark" or "" for what the system says.
    #[wasm_bindgen(js_name = setTheme)]
    pub fn set_theme(theme: &str);
    /// Whether the page is dark now.
    #[wasm_bindgen(js_name = isDark)]
    pub fn is_dark() -> bool;
    /// Remembers a small text between visits.
    pub fn remember(key: &str, value: &str);
    /// What was remembered, or "".
    pub fn recall(key: &str) -> String;
    /// Lets tiles glide to their new places; call after drawing.
    pub fn glide(root: &web_sys::Element);

    #[wasm_bindgen(js_name = createTerminal)]
    pub(crate) fn create_terminal(place: &web_sys::Element, on_keys: &Closure<dyn FnMut(String)>) -> Promise;
    #[wasm_bindgen(js_name = createEditor)]
    pub(crate) fn create_editor(
        place: &web_sys::Element,
        text: &str,
        on_change: &Closure<dyn FnMut(String)>,
        on_apply: &Closure<dyn FnMut()>,
    ) -> Promise;

    /// A terminal's screen.
    #[derive(Clone)]
    pub type Screen;
    #[wasm_bindgen(method)]
    pub fn write(this: &Screen, text: &str);
    #[wasm_bindgen(method)]
    pub fn columns(this: &Screen) -> u32;
    #[wasm_bindgen(method)]
    pub fn focus(this: &Screen);
    #[wasm_bindgen(method)]
    pub fn clear(this: &Screen);
    #[wasm_bindgen(method)]
    pub fn dispose(this: &Screen);

    /// The YAML editor.
    #[derive(Clone, PartialEq)]
    pub type Editor;
    #[wasm_bindgen(method)]
    pub fn set(this: &Editor, text: &str);
    #[wasm_bindgen(method)]
    pub fn show(this: &Editor, findings: &Array);
    #[wasm_bindgen(method, js_name = dispose)]
    pub fn dispose_editor(this: &Editor);
}

/// Where the page is mounted.
pub fn root() -> Option<web_sys::Element> {
    web_sys::window()?.document()?.get_element_by_id("app")
}

/// A JavaScript object of these fields.
pub fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // Setting a field of a fresh plain object has no way to fail.
        let _ = js_sys::Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}

/// What a rejected promise says.
pub fn error_text(error: &JsValue) -> String {
    let message = js_sys::Reflect::get(error, &JsValue::from_str("message")).ok().and_then(|m| m.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| "unknown error".to_owned())
}
