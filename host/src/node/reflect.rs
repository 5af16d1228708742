//! Keeps up with objects of the API: one list, then a watch from there, and again whenever that breaks.

use std::time::Duration;

use hyper::Method;
use object::Value;
use object::value::str_at;

use crate::client::{Client, Error};

/// Waiting times between attempts.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What is new.
pub enum News {
    /// All there is.
    All(Vec<Value>),
    /// This one is new or has changed.
    Changed(Value),
    /// This one is gone.
    Gone(Value),
}

/// Watches a collection for as long as the future is polled. `target` is its path, with a query if need be.
pub async fn reflect(client: Client, target: String, mut tell: impl FnMut(News)) {
    let mut wait = FIRST_WAIT;
    loop {
        match follow(&client, &target, &mut tell).await {
            Ok(()) => wait = FIRST_WAIT,
            Err(error) => {
                // Expired positions are how a watch that was away for long begins anew.
                if error.code() != 410 && wait > Duration::from_secs(1) {
                    eprintln!("node: watching {target}: {error}");
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// Lists and watches until something breaks.
async fn follow(client: &Client, target: &str, tell: &mut impl FnMut(News)) -> Result<(), Error> {
    let mut list = client.json(Method::GET, target, &Value::Null).await?;
    let mut position = str_at(&list, &["metadata", "resourceVersion"]).to_owned();
    let items = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    tell(News::All(items));
    let joint = if target.contains('?') { '&' } else { '?' };
    loop {
        let watch = format!("{target}{joint}watch=true&allowWatchBookmarks=true&resourceVersion={position}");
        let mut lines = client.lines(&watch).await?;
        while let Some(line) = lines.next().await? {
            let mut event: Value = serde_json::from_slice(&line).map_err(anyhow::Error::from)?;
            let object = event.get_mut("object").map(Value::take).unwrap_or_default();
            let kind = str_at(&event, &["type"]);
            if kind == "ERROR" {
                let code = object.get("code").and_then(Value::as_u64).unwrap_or(500);
                return Err(Error::Status { code: u16::try_from(code).unwrap_or(500), status: object });
            }
            let at = str_at(&object, &["metadata", "resourceVersion"]);
            if !at.is_empty() {
                position = at.to_owned();
            }
            match kind {
                "ADDED" | "MODIFIED" => tell(News::Changed(object)),
                "DELETED" => tell(News::Gone(object)),
                _ => {}
            }
        }
    }
}
