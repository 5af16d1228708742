//! The Kubernetes API and kubectl, as futures.

use std::rc::Rc;

use js_sys::{Array, Reflect};
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::bridge::{self, error_text};

/// A request that failed: what Kubernetes' Status says, or why there was no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// HTTP status code; 0 if there was no answer.
    pub code: u16,
    /// For people.
    pub message: String,
}

/// Waits until the cluster runs; true if it went on where an earlier visit stopped.
pub async fn opened(on_crash: impl Fn(String) + 'static) -> Result<bool, String> {
    let on_crash = Closure::<dyn FnMut(String)>::new(on_crash);
    let promise = bridge::opened(&on_crash);
    // It is called as long as the page lives.
    on_crash.forget();
    let opened = JsFuture::from(promise).await.map_err(|error| error_text(&error))?;
    Ok(Reflect::get(&opened, &"restored".into()).is_ok_and(|restored| restored.is_truthy()))
}

/// One request; the body of a successful answer.
pub async fn request(method: &str, path: &str, content_type: &str, body: &str) -> Result<String, Failure> {
    let no_answer = |error: JsValue| Failure { code: 0, message: error_text(&error) };
    let answer: Array =
        JsFuture::from(bridge::request(method, path, content_type, body)).await.map_err(no_answer)?.unchecked_into();
    let code = answer.get(0).as_f64().unwrap_or(0.0) as u16;
    let text = answer.get(1).as_string().unwrap_or_default();
    if (200..300).contains(&code) { Ok(text) } else { Err(Failure { code, message: status_message(&text) }) }
}

/// GET.
pub async fn get(path: &str) -> Result<String, Failure> {
    request("GET", path, "", "").await
}

/// DELETE in the background.
pub async fn delete(path: &str) -> Result<String, Failure> {
    request("DELETE", path, "", "").await
}

/// A JSON merge patch.
pub async fn patch(path: &str, body: &serde_json::Value) -> Result<String, Failure> {
    request("PATCH", path, "application/merge-patch+json", &body.to_string()).await
}

/// Something that can be cut off; dropping it cuts it off.
pub struct Abort(web_sys::AbortController);

impl Abort {
    /// A fresh one.
    pub fn new() -> Result<Rc<Self>, JsValue> {
        Ok(Rc::new(Abort(web_sys::AbortController::new()?)))
    }

    /// Cuts off what uses this.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether it was cut off.
    pub fn aborted(&self) -> bool {
        self.0.signal().aborted()
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A GET whose answer is given to `on_text` as it comes; the status when it ends.
pub async fn stream(path: &str, on_text: impl FnMut(String) + 'static, abort: &Abort) -> Result<u16, Failure> {
    let on_text = Closure::<dyn FnMut(String)>::new(on_text);
    let promise = bridge::stream(path, on_text.as_ref().unchecked_ref(), &abort.0.signal());
    let status = JsFuture::from(promise).await.map_err(|error| Failure { code: 0, message: error_text(&error) })?;
    Ok(status.as_f64().unwrap_or(0.0) as u16)
}

/// A kubectl command.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Command {
    /// Without "kubectl".
    pub argv: Vec<String>,
    /// What `-f -` reads.
    pub stdin: String,
    /// What `-f NAME` reads.
    pub files: Vec<(String, String)>,
}

/// Runs kubectl; its exit code. `on_print` gets pieces of output, with true for standard error.
pub async fn kubectl(command: &Command, on_print: impl FnMut(bool, String) + 'static, abort: &Abort) -> Result<i32, String> {
    let argv: Array = command.argv.iter().map(JsValue::from).collect();
    let pair = |(name, text): &(String, String)| JsValue::from([name, text].into_iter().map(JsValue::from).collect::<Array>());
    let files: Array = command.files.iter().map(pair).collect();
    let on_print = Closure::<dyn FnMut(bool, String)>::new(on_print);
    let promise = bridge::kubectl(&argv, &command.stdin, &files, on_print.as_ref().unchecked_ref(), &abort.0.signal());
    let code = JsFuture::from(promise).await.map_err(|error| error_text(&error))?;
    Ok(code.as_f64().unwrap_or(1.0) as i32)
}

/// Runs kubectl and collects what it prints: standard output, or standard error if it failed.
pub async fn kubectl_output(command: &Command) -> Result<String, String> {
    let abort = Abort::new().map_err(|error| error_text(&error))?;
    let printed = Rc::new(std::cell::RefCell::new((String::new(), String::new())));
    let into = printed.clone();
    let print = move |is_error, text: String| {
        let mut printed = into.borrow_mut();
        if is_error { printed.1.push_str(&text) } else { printed.0.push_str(&text) }
    };
    let code = kubectl(command, print, &abort).await?;
    let (out, err) = printed.take();
    if code == 0 { Ok(out) } else { Err(if err.is_empty() { out } else { err }) }
}

#[derive(Deserialize)]
struct Status {
    message: String,
}

fn status_message(text: &str) -> String {
    serde_json::from_str::<Status>(text).map(|status| status.message).unwrap_or_else(|_| text.to_owned())
}
