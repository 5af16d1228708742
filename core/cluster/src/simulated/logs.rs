//! Logs of containers on simulated nodes, as a kubelet serves them at `/containerLogs/NAMESPACE/POD/CONTAINER`.

use std::collections::BTreeMap;

use kubelet::io::ContainerId;
use object::{ApiError, Bytes, Time};

use super::node::Node;
use crate::wire::{Output, StreamId};

/// How often a followed log is looked at.
const FOLLOW_MILLIS: u64 = 200;

/// Streams that follow a log.
#[derive(Default)]
pub(super) struct Logs {
    following: BTreeMap<StreamId, Following>,
}

struct Following {
    node: u32,
    container: ContainerId,
    timestamps: bool,
    /// Lines that were sent.
    sent: usize,
}

/// The parameters of a request for logs.
#[derive(Default)]
struct Wanted {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail: Option<usize>,
    since_seconds: Option<u64>,
}

impl Logs {
    /// Answers a request, or begins to.
    pub fn open(&mut self, now: Time, stream: StreamId, index: u32, node: &Node, target: &str, out: &mut Vec<Output>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.split('/').collect();
        let ["", "containerLogs", namespace, pod, container] = parts.as_slice() else {
            return respond(stream, out, Err(ApiError::bad_request("simulated nodes run no processes to attach to")));
        };
        let wanted = Wanted::parse(query);
        let found = node.kubelet().container(namespace, pod, container, wanted.previous);
        let lines = found.as_ref().and_then(|id| node.runtime().log(id, now));
        let (Some(container), Some(lines)) = (found, lines) else {
            let what = if wanted.previous { "previous terminated container" } else { "container" };
            let message = format!("{what} {container:?} in pod {pod:?} not found or waiting to start");
            return respond(stream, out, Err(ApiError::bad_request(message)));
        };
        let total = lines.len();
        let recent = |at: &Time| wanted.since_seconds.is_none_or(|seconds| now.secs_since(*at) <= seconds);
        let mut shown: Vec<_> = lines.into_iter().filter(|(at, _)| recent(at)).collect();
        if let Some(tail) = wanted.tail {
            shown.drain(..shown.len().saturating_sub(tail));
        }
        let text = render(&shown, wanted.timestamps);
        if !wanted.follow {
            return respond(stream, out, Ok(text));
        }
        out.push(Output::Open { stream, status: 200, headers: vec![content_type("text/plain")] });
        if !text.is_empty() {
            out.push(Output::Data { streams: vec![stream], bytes: text });
        }
        let timestamps = wanted.timestamps;
        self.following.insert(stream, Following { node: index, container, timestamps, sent: total });
    }

    /// Sends what has been printed since, and ends the logs of containers that are gone or have ended.
    pub fn follow(&mut self, now: Time, nodes: &[Node], out: &mut Vec<Output>) {
        self.following.retain(|stream, following| {
            let runtime = nodes.get(following.node as usize).map(Node::runtime);
            let lines = runtime.and_then(|runtime| runtime.log(&following.container, now)).unwrap_or_default();
            if let Some(new) = lines.get(following.sent..).filter(|new| !new.is_empty()) {
                out.push(Output::Data { streams: vec![*stream], bytes: render(new, following.timestamps) });
                following.sent = lines.len();
            }
            let goes_on = runtime.is_some_and(|runtime| runtime.is_running(&following.container));
            if !goes_on {
                out.push(Output::End(*stream));
            }
            goes_on
        });
    }

    /// When the followed logs have to be looked at again.
    pub fn wake(&self, now: Time) -> Option<Time> {
        (!self.following.is_empty()).then(|| now.plus_millis(FOLLOW_MILLIS))
    }

    /// The client of this stream went away.
    pub fn closed(&mut self, stream: StreamId) {
        self.following.remove(&stream);
    }
}

impl Wanted {
    fn parse(query: &str) -> Self {
        let mut wanted = Wanted::default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "follow" => wanted.follow = value == "true",
                "previous" => wanted.previous = value == "true",
                "timestamps" => wanted.timestamps = value == "true",
                "tailLines" => wanted.tail = value.parse().ok(),
                "sinceSeconds" => wanted.since_seconds = value.parse().ok(),
                _ => {}
            }
        }
        wanted
    }
}

fn render(lines: &[(Time, String)], timestamps: bool) -> Bytes {
    let line = |(at, text): &(Time, String)| {
        if timestamps { format!("{} {text}\n", at.rfc3339_micros()) } else { format!("{text}\n") }
    };
    lines.iter().map(line).collect::<String>().into()
}

fn respond(stream: StreamId, out: &mut Vec<Output>, answer: object::Result<Bytes>) {
    let (status, kind, body) = match answer {
        Ok(text) => (200, "text/plain", text),
        Err(error) => (error.code, "application/json", error.to_status().to_string().into()),
    };
    out.push(Output::Respond { stream, status, headers: vec![content_type(kind)], body });
}

fn content_type(value: &str) -> (String, String) {
    ("content-type".to_owned(), value.to_owned())
}
