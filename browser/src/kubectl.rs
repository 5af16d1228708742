//! kubectl inside the worker: the command's future, and JavaScript as its surroundings.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use js_sys::{Promise, Uint8Array};
use kubectl::{Body, Files, Kubectl, Local, Output, Request, Response, Transport};
use object::{Bytes, Time};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::sink::header_lines;

/// The exit code of a command that was interrupted, as a shell reports it.
const INTERRUPTED: i32 = 130;

#[wasm_bindgen]
extern "C" {
    /// What the worker offers to a command. Bytes are views into wasm memory, to be copied at once.
    pub type Shell;

    /// Resolves to a `Reply`.
    #[wasm_bindgen(method)]
    fn send(this: &Shell, method: &str, target: &str, headers: &str, body: &[u8]) -> Promise;
    /// Real time: a client's patience does not depend on the cluster's clock.
    #[wasm_bindgen(method)]
    fn sleep(this: &Shell, millis: f64) -> Promise;
    /// The cluster's time in microseconds.
    #[wasm_bindgen(method)]
    fn now(this: &Shell) -> f64;
    #[wasm_bindgen(method)]
    fn print(this: &Shell, is_error: bool, text: &[u8]);

    /// An answer whose body is still to come.
    type Reply;

    #[wasm_bindgen(method, getter)]
    fn status(this: &Reply) -> u16;
    #[wasm_bindgen(method, getter)]
    fn headers(this: &Reply) -> String;
    /// Resolves to bytes, or to undefined at the end.
    #[wasm_bindgen(method)]
    fn next(this: &Reply) -> Promise;
    #[wasm_bindgen(method)]
    fn cancel(this: &Reply);
}

/// Runs one command (`argv` without "kubectl") and gives its exit code. `files` are names and texts in turn;
/// `interrupt` is a promise that resolves when the command should stop.
#[wasm_bindgen]
pub async fn kubectl(shell: Shell, argv: Vec<String>, stdin: String, files: Vec<String>, interrupt: Promise) -> i32 {
    let files = Given(files);
    let mut screen = Screen(&shell);
    let command = Kubectl::new(&shell, &files, &mut screen).with_stdin(stdin);
    let mut run = pin!(command.run(&argv));
    let mut stop = JsFuture::from(interrupt);
    poll_fn(|context| match run.as_mut().poll(context) {
        Poll::Ready(code) => Poll::Ready(code),
        Poll::Pending => pin!(&mut stop).poll(context).map(|_| INTERRUPTED),
    })
    .await
}

impl Transport for Shell {
    fn send(&self, request: Request) -> Local<'_, Result<Response, String>> {
        let headers = header_lines(&request.headers);
        let reply = Shell::send(self, &request.method, &request.target, &headers, &request.body);
        Box::pin(async move {
            let reply: Reply = JsFuture::from(reply).await.map_err(text)?.unchecked_into();
            let headers = crate::core::header_pairs(&reply.headers());
            Ok(Response { status: reply.status(), headers, body: Box::new(Stream(reply)) })
        })
    }

    fn sleep(&self, millis: u64) -> Local<'_, ()> {
        let slept = Shell::sleep(self, millis as f64);
        Box::pin(async move {
            // A timer of a browser has no way to fail.
            let _ = JsFuture::from(slept).await;
        })
    }

    fn now(&self) -> Time {
        Time(Shell::now(self) as u64)
    }
}

/// A body; dropping it hangs up.
struct Stream(Reply);

impl Body for Stream {
    fn next(&mut self) -> Local<'_, Result<Option<Bytes>, String>> {
        let next = self.0.next();
        Box::pin(async move {
            let piece = JsFuture::from(next).await.map_err(text)?;
            Ok(piece.dyn_into::<Uint8Array>().ok().map(|bytes| Bytes::from(bytes.to_vec())))
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Names and texts in turn.
struct Given(Vec<String>);

impl Files for Given {
    fn read(&self, path: &str, _recursive: bool) -> Local<'_, Result<Vec<(String, Bytes)>, String>> {
        let path = path.trim_start_matches("./");
        let all = self.0.chunks_exact(2).map(|pair| (pair[0].clone(), Bytes::from(pair[1].clone())));
        let found: Vec<_> = all.filter(|(name, _)| name == path || matches!(path, "" | ".")).collect();
        let answer = if found.is_empty() { Err(format!("the path \"{path}\" does not exist")) } else { Ok(found) };
        Box::pin(async move { answer })
    }
}

/// Where a command prints.
struct Screen<'a>(&'a Shell);

impl Output for Screen<'_> {
    fn stdout(&mut self, text: &[u8]) {
        self.0.print(false, text);
    }

    fn stderr(&mut self, text: &[u8]) {
        self.0.print(true, text);
    }
}

/// What a rejected promise says.
fn text(error: JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message())).unwrap_or_else(|| format!("{error:?}"))
}
