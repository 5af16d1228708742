//! As many pods as a Job should have now: making those that are missing, with their indexes, and deleting those too many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::order::Order as _;
use object::value::{at, i64_at, list_at, object_at, set, str_at};
use object::{Result, Value, json};
use store::Object;

use super::backoff::{self, Record};
use super::indexes::{self, index_of};
use super::tracking::{self, Counts, FINALIZER};
use super::{JOB, Work, is_terminating};
use crate::context::Context;
use crate::pod_control::{self, BURST, deletion_order};

/// The annotation and label that say which index a pod is of.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Names that the API server generates have a prefix of so many letters at most.
const MAX_PREFIX: usize = 58;

/// Makes or deletes pods until as many run as should; how many do, and the first error.
pub fn manage(
    cx: &mut Context<'_>,
    work: &mut Work<'_>,
    active: &[Arc<Object>],
    counts: &Counts,
    record: &Record,
) -> (usize, Result<()>) {
    let spec = |key: &str| i64_at(&work.job, &["spec", key]).and_then(|n| usize::try_from(n).ok());
    let parallelism = spec("parallelism").unwrap_or(1);
    let wanted = match spec("completions") {
        _ if work.is_suspended() => 0,
        None if counts.succeeded > 0 => active.len(),
        None => parallelism,
        Some(completions) => parallelism.min(completions.saturating_sub(counts.succeeded)),
    };
    let mut surplus = surplus(cx, work, active, active.len().saturating_sub(wanted));
    if !work.is_suspended() {
        surplus.truncate(BURST);
    }
    if !surplus.is_empty() {
        let (removed, done) = work.remove(cx, &surplus, tracking::drop_pod);
        return (active.len() - removed, done);
    }
    let waits = if work.replaces_only_failed() { work.terminating } else { 0 };
    let missing = wanted.saturating_sub(active.len() + waits);
    if missing == 0 {
        return (active.len(), Ok(()));
    }
    if !work.indexes.counts_failures()
        && let Some(due) = record.due().filter(|due| *due > cx.now)
    {
        cx.queue.add_at(work.key.clone(), due);
        return (active.len(), Ok(()));
    }
    let wanted: Vec<Option<u32>> = if work.indexes.is_indexed() {
        ready_indexes(cx, work, active, missing.min(BURST)).into_iter().map(Some).collect()
    } else {
        vec![None; missing.min(BURST)]
    };
    let (made, done) = pod_control::slow_start(wanted.len(), &mut |i| {
        let pod = new_pod(work, wanted.get(i).copied().flatten());
        pod_control::create(cx, &work.job, pod).map(|made| made.is_some())
    });
    (active.len() + made, done)
}

/// Those that have to go: whose index is not, or no longer, theirs alone, and as many more as are too many.
fn surplus(cx: &Context<'_>, work: &Work<'_>, active: &[Arc<Object>], at_least: usize) -> Vec<Arc<Object>> {
    let (mut removed, mut left) = (Vec::new(), active.to_vec());
    if !work.indexes.is_indexed() && at_least == 0 {
        return removed;
    }
    left.order_by(|a, b| deletion_order(a, b, &BTreeMap::new(), cx.now));
    if work.indexes.is_indexed() {
        // Of several with one index the last in the order stays.
        let mut seen = BTreeSet::new();
        let mut kept = Vec::new();
        for pod in left.into_iter().rev() {
            let valid = index_of(&pod).is_some_and(|index| work.indexes.is_valid(index) && seen.insert(index));
            if valid { kept.push(pod) } else { removed.push(pod) }
        }
        kept.reverse();
        left = kept;
    }
    let more = at_least.saturating_sub(removed.len());
    removed.extend(left.into_iter().take(more));
    removed
}

/// The next indexes for which a pod may be made now. Asks to be woken when that changes, if there are none.
fn ready_indexes(cx: &mut Context<'_>, work: &Work<'_>, active: &[Arc<Object>], most: usize) -> Vec<u32> {
    let mut taken: BTreeSet<u32> = active.iter().filter_map(|pod| index_of(pod)).collect();
    if work.replaces_only_failed() {
        taken.extend(work.pods.iter().filter(|pod| is_terminating(pod)).filter_map(|pod| index_of(pod)));
    }
    let pending = work.indexes.pending(&taken, most);
    if !work.indexes.counts_failures() {
        return pending;
    }
    let due = |index: &u32| {
        let failed = work.indexes.waiting(*index)?;
        let due = backoff::due(indexes::all_failures(failed) + 1, backoff::finished_at(failed));
        (due > cx.now).then_some(due)
    };
    let (later, now): (Vec<u32>, Vec<u32>) = pending.into_iter().partition(|index| due(index).is_some());
    let wake = later.iter().filter_map(due).min().filter(|_| now.is_empty());
    if let Some(wake) = wake {
        cx.queue.add_at(work.key.clone(), wake);
    }
    now
}

/// A pod, with its place among the others where places have numbers.
fn new_pod(work: &Work<'_>, index: Option<u32>) -> Value {
    let mut pod = JOB.pod_from(&work.job, at(&work.job, &["spec", "template"]).unwrap_or(&Value::Null));
    let mut finalizers = list_at(&pod, &["metadata", "finalizers"]).to_vec();
    if !finalizers.iter().any(|known| known == FINALIZER) {
        finalizers.push(FINALIZER.into());
    }
    set(&mut pod, &["metadata", "finalizers"], finalizers);
    let Some(index) = index else { return pod };
    let name = str_at(&work.job, &["metadata", "name"]);
    let number = format!("-{index}-");
    let kept = name.get(..MAX_PREFIX.saturating_sub(number.len())).unwrap_or(name);
    set(&mut pod, &["metadata", "generateName"], format!("{kept}{number}"));
    for map in ["labels", "annotations"] {
        object_at(&mut pod, &["metadata", map]).insert(INDEX.to_owned(), index.to_string().into());
    }
    for (annotation, count) in work.indexes.failures_to_carry(&work.job, index) {
        object_at(&mut pod, &["metadata", "annotations"]).insert(annotation.to_owned(), count.to_string().into());
    }
    set(&mut pod, &["spec", "hostname"], format!("{name}-{index}"));
    let path = format!("metadata.labels['{INDEX}']");
    let variable = json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": path}}});
    for list in ["initContainers", "containers"] {
        for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let mut env = list_at(container, &["env"]).to_vec();
            if env.iter().all(|known| str_at(known, &["name"]) != "JOB_COMPLETION_INDEX") {
                env.push(variable.clone());
                set(container, &["env"], env);
            }
        }
    }
    pod
}
