//! kubectl: its commands over any transport, written once for the terminal in a page and for `wasmkube kubectl`.
//!
//! [`Kubectl::run`] takes the words after `kubectl`. What it needs from outside stands in [`Transport`] (one HTTP request),
//! [`Files`] (`-f`), [`Output`] and [`Transport::sleep`]; nothing here knows a socket, a clock or a runtime. Output is that of
//! stock kubectl, byte for byte where the two agree on what to say.
//!
//! Start reading at [`commands`]: one module for each command.
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![warn(missing_docs)]

mod api;
mod commands;
mod discovery;
mod flags;
mod manifest;
mod openapi;
mod print;
mod transport;

use std::cell::RefCell;

use object::{ApiError, Bytes};

pub use transport::{Body, Files, Local, Output, Request, Response, Transport};

/// The version of kubectl whose behaviour this is.
pub const VERSION: &str = "v1.35.0";

/// Why a command ended early: what to say, and the exit code.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Complete text for stderr, without the newline; empty if everything is said.
    pub message: String,
    /// Exit code.
    pub code: i32,
    /// Whether the server said that there is no such object.
    pub not_found: bool,
}

type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// `error: what`.
    pub fn new(what: impl std::fmt::Display) -> Self {
        Failure { message: format!("error: {what}"), code: 1, not_found: false }
    }

    /// A message that stands for itself.
    pub fn plain(message: impl Into<String>) -> Self {
        Failure { message: message.into(), code: 1, not_found: false }
    }

    /// Everything is said; only the exit code is left.
    pub fn silent() -> Self {
        Failure::plain("")
    }
}

/// `Error from server (NotFound): pods "x" not found`.
impl From<&ApiError> for Failure {
    fn from(error: &ApiError) -> Self {
        Failure {
            message: format!("Error from server ({}): {}", error.reason.as_str(), error.message),
            code: 1,
            not_found: error.is_not_found(),
        }
    }
}

/// One invocation's surroundings.
pub struct Kubectl<'a> {
    transport: &'a dyn Transport,
    files: &'a dyn Files,
    output: RefCell<&'a mut dyn Output>,
    stdin: Bytes,
    namespace: String,
    server: String,
    discovery: RefCell<Option<discovery::Discovery>>,
}

impl<'a> Kubectl<'a> {
    /// A kubectl that talks through `transport`; its namespace is `default`.
    pub fn new(transport: &'a dyn Transport, files: &'a dyn Files, output: &'a mut dyn Output) -> Self {
        Kubectl {
            transport,
            files,
            output: RefCell::new(output),
            stdin: Bytes::new(),
            namespace: "default".to_owned(),
            server: "https://127.0.0.1:6443".to_owned(),
            discovery: RefCell::new(None),
        }
    }

    /// What `-f -` reads.
    pub fn with_stdin(mut self, stdin: impl Into<Bytes>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// The namespace where no flag says another (that of the kubeconfig's context).
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The server's address as `cluster-info` shows it.
    pub fn with_server(mut self, server: impl Into<String>) -> Self {
        self.server = server.into();
        self
    }

    /// Runs `arguments` (without the word kubectl) and gives the exit code. To interrupt it, drop the future.
    pub async fn run(&self, arguments: &[String]) -> i32 {
        match commands::run(self, arguments).await {
            Ok(()) => 0,
            Err(failure) => {
                if !failure.message.is_empty() {
                    self.error(&failure.message);
                }
                failure.code
            }
        }
    }

    fn print(&self, text: &str) {
        self.output.borrow_mut().stdout(text.as_bytes());
    }

    fn line(&self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    fn error(&self, text: &str) {
        self.output.borrow_mut().stderr(format!("{text}\n").as_bytes());
    }
}
