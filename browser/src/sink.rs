//! What the worker offers to take outputs, and how each [`Output`] is handed over.

use cluster::wire::{Output, Record};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The worker's side. None of its methods may call back into [`Core`](crate::Core). Bytes are views into wasm
    /// memory: they must be copied before the method returns.
    pub type Sink;

    #[wasm_bindgen(method)]
    fn put(this: &Sink, revision: f64, key: &str, value: &[u8]);
    #[wasm_bindgen(method)]
    fn remove(this: &Sink, revision: f64, key: &str);
    #[wasm_bindgen(method)]
    fn respond(this: &Sink, stream: f64, status: u16, headers: &str, body: &[u8]);
    #[wasm_bindgen(method)]
    fn open(this: &Sink, stream: f64, status: u16, headers: &str);
    #[wasm_bindgen(method)]
    fn data(this: &Sink, streams: &[f64], bytes: &[u8]);
    #[wasm_bindgen(method)]
    fn end(this: &Sink, stream: f64);
}

impl Sink {
    /// Hands one wish to the worker.
    pub(crate) fn take(&self, output: Output) {
        match output {
            Output::Journal(Record::Put { revision, key, value }) => self.put(revision as f64, &key, &value),
            Output::Journal(Record::Delete { revision, key }) => self.remove(revision as f64, &key),
            // A page keeps no log.
            Output::Audit(_) | Output::Served { .. } => {}
            Output::Respond { stream, status, headers, body } => {
                self.respond(stream as f64, status, &header_lines(&headers), &body);
            }
            Output::Open { stream, status, headers } => self.open(stream as f64, status, &header_lines(&headers)),
            Output::Data { streams, bytes } => {
                let streams: Vec<f64> = streams.into_iter().map(|id| id as f64).collect();
                self.data(&streams, &bytes);
            }
            Output::End(stream) => self.end(stream as f64),
            // Only servers outside core are asked over a network, and a tab has none.
            Output::Forward { stream, node, outgoing, .. } => {
                let host = outgoing.upstream.host;
                let whom = if node.is_empty() { host } else { format!("the kubelet of node \"{node}\"") };
                let error = object::ApiError::new(
                    503,
                    object::Reason::ServiceUnavailable,
                    format!("{whom} cannot be reached from a browser"),
                );
                self.respond(stream as f64, 503, "content-type: application/json\n", error.to_status().to_string().as_bytes());
            }
            // Answered where inputs are gathered.
            Output::Call { .. } => {}
        }
    }
}

/// Headers as lines `name: value`, one crossing of the boundary instead of many.
pub(crate) fn header_lines(headers: &[(String, String)]) -> String {
    headers.iter().fold(String::new(), |mut lines, (name, value)| {
        lines.extend([name, ": ", value, "\n"]);
        lines
    })
}
