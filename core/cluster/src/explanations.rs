//! What is asked of the scheduler: why a pod is where it is, or nowhere. The API server has authorized the question.

use apiserver::message::SCHEDULER;
use object::{ApiError, Time};
use scheduler::Scheduler;
use store::Store;

use crate::wire::Output;

/// Answers the questions among the outputs; everything else passes.
pub(crate) fn answer(scheduler: Option<&mut Scheduler>, store: &Store, now: Time, outputs: &mut [Output]) {
    let Some(scheduler) = scheduler else {
        return outputs.iter_mut().for_each(|output| replace(output, |_| None));
    };
    outputs.iter_mut().for_each(|output| replace(output, |target| scheduler.explain(store, now, target)));
}

fn replace(output: &mut Output, explain: impl FnOnce(&str) -> Option<object::Value>) {
    let Output::Forward { stream, node, outgoing, .. } = output else { return };
    if node != SCHEDULER {
        return;
    }
    let (status, body) = match outgoing.method.as_str() {
        "GET" | "HEAD" => match explain(&outgoing.target) {
            Some(answer) => (200, answer),
            None => (404, ApiError::no_such_path().to_status()),
        },
        _ => (405, ApiError::method_not_allowed().to_status()),
    };
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    *output = Output::Respond { stream: *stream, status, headers, body: body.to_string().into() };
}
