//! What flow control is at, for people: the tables of `/debug/api_priority_and_fairness/`.
//!
//! <https://kubernetes.io/docs/reference/debug-cluster/flow-control/>

use object::Time;

use super::FlowControl;
use super::config::Schema;
use crate::edge::Incoming;

type Row = Vec<String>;

/// One of the tables; nothing if there is none of that name.
pub fn table(flow: &FlowControl, name: &str, details: bool) -> Option<String> {
    let rows = match name {
        "dump_priority_levels" => levels(flow),
        "dump_queues" => queues(flow),
        "dump_requests" => requests(flow, details),
        _ => return None,
    };
    Some(align(&rows))
}

fn row(cells: &[&dyn ToString]) -> Row {
    cells.iter().map(|cell| cell.to_string()).collect()
}

fn head(names: &[&str]) -> Row {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn levels(flow: &FlowControl) -> Vec<Row> {
    let mut rows = vec![head(&[
        "PriorityLevelName",
        "ActiveQueues",
        "IsIdle",
        "IsQuiescing",
        "WaitingRequests",
        "ExecutingRequests",
        "DispatchedRequests",
        "RejectedRequests",
        "TimedoutRequests",
        "CancelledRequests",
    ])];
    for level in flow.levels.all() {
        let active = level.queues().filter(|(_, _, waiting)| !waiting.is_empty()).count();
        let counts = &level.counts;
        rows.push(row(&[
            &level.spec.name,
            &active,
            &(level.waiting + level.executing == 0),
            &level.quiescing,
            &level.waiting,
            &level.executing,
            &counts.dispatched,
            &counts.rejected,
            &counts.timed_out,
            &counts.cancelled,
        ]));
    }
    rows
}

fn queues(flow: &FlowControl) -> Vec<Row> {
    let mut rows = vec![head(&["PriorityLevelName", "Index", "PendingRequests", "NextDispatchR", "InitialSeatsSum"])];
    for level in flow.levels.all() {
        for (at, start, waiting) in level.queues() {
            rows.push(row(&[&level.spec.name, &at, &waiting.len(), &start, &waiting.len()]));
        }
    }
    rows
}

fn requests(flow: &FlowControl, details: bool) -> Vec<Row> {
    let mut names = head(&[
        "PriorityLevelName",
        "FlowSchemaName",
        "QueueIndex",
        "RequestIndexInQueue",
        "FlowDistingsher",
        "ArriveTime",
        "InitialSeats",
    ]);
    if details {
        names.extend(head(&["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"]));
    }
    let mut rows = vec![names];
    for level in flow.levels.all() {
        for (at, _, waiting) in level.queues() {
            for (index, one) in waiting.iter().enumerate() {
                let Some(place) = &one.item.place else { continue };
                let mut cells = row(&[&level.spec.name, &place.schema.name, &at, &index]);
                cells.extend(request(&one.item, &place.schema, one.since, details));
                rows.push(cells);
            }
        }
    }
    rows
}

fn request(incoming: &Incoming, schema: &Schema, since: Time, details: bool) -> Row {
    let user = &incoming.asked.user;
    let asked = incoming.asked.attributes();
    let mut cells = row(&[&schema.distinguish(user, &asked), &since.rfc3339_micros(), &1]);
    if details {
        let path = incoming.request.target.split('?').next().unwrap_or_default();
        cells.extend(row(&[
            &user.name,
            &asked.verb,
            &path,
            &asked.namespace,
            &asked.name,
            &asked.version,
            &asked.resource,
            &asked.subresource,
        ]));
    }
    cells
}

/// Columns below each other, with commas between them.
fn align(rows: &[Row]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.len() + 2).max().unwrap_or(0).max(8);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let last = row.len().saturating_sub(1);
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if at == last {
                text += cell;
            } else {
                text += &format!("{:<width$}", format!("{cell},"));
            }
        }
        text.push('\n');
    }
    text
}
