//! `kubectl wait`: until a condition, a value or the end.

use object::value::{list_at, str_at};
use object::{JsonPath, Value};

use super::select::Target;
use crate::flags::{FILES, Flag, Flags, PRINT, SELECT, Takes};
use crate::{Failure, Kubectl, Result};

const FLAGS: &[Flag] = &[("for", '\0', Takes::Value), ("timeout", '\0', Takes::Value), ("local", '\0', Takes::Bool)];

enum Until {
    Gone,
    There,
    Condition(String, String),
    Path(JsonPath, Option<String>),
}

fn until(text: &str) -> Result<Until> {
    let lower = text.to_lowercase();
    if lower == "delete" {
        return Ok(Until::Gone);
    }
    if lower == "create" {
        return Ok(Until::There);
    }
    if let Some(condition) = text.strip_prefix("condition=") {
        let (name, value) = condition.split_once('=').unwrap_or((condition, "true"));
        return Ok(Until::Condition(name.to_owned(), value.to_owned()));
    }
    if let Some(rest) = text.strip_prefix("jsonpath=") {
        let rest = rest.trim_matches(|c| c == '\'' || c == '"');
        let (path, value) = match rest.rfind("}=") {
            Some(at) => (&rest[..=at], Some(rest[at + 2..].to_owned())),
            None => (rest, None),
        };
        return Ok(Until::Path(JsonPath::parse_relaxed(path).map_err(Failure::new)?, value));
    }
    Err(Failure::new(format!("unrecognized condition: {text:?}")))
}

fn met(until: &Until, object: &Value) -> bool {
    match until {
        Until::Gone => false,
        Until::There => true,
        Until::Condition(name, value) => list_at(object, &["status", "conditions"])
            .iter()
            .any(|c| str_at(c, &["type"]).eq_ignore_ascii_case(name) && str_at(c, &["status"]).eq_ignore_ascii_case(value)),
        Until::Path(path, value) => {
            let found = path.first(object);
            match (found, value) {
                (Some(found), Some(value)) => object::jsonpath::printed(&found) == *value,
                (found, None) => found.is_some(),
                (None, Some(_)) => false,
            }
        }
    }
}

pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("wait", words, &[FLAGS, FILES, PRINT, SELECT])?;
    let until = until(flags.text("for"))?;
    let timeout = flags.duration("timeout")?.unwrap_or(30_000);
    let started = k.transport.now();
    let late = |k: &Kubectl<'_>| k.transport.now().millis_since(started) >= timeout;
    let (mut targets, mut missing) = k.targets(&flags, &flags.args).await?;
    while matches!(until, Until::There) && !missing.is_empty() && !late(k) {
        k.transport.sleep(100).await;
        (targets, missing) = k.targets(&flags, &flags.args).await?;
    }
    if targets.is_empty() && missing.is_empty() && !matches!(until, Until::Gone) {
        return Err(Failure::new("no matching resources found"));
    }
    if matches!(until, Until::Gone) {
        missing.clear();
    }
    let mut failures = missing;
    for target in targets {
        if let Err(failure) = one(k, &until, &target, &late).await {
            failures.push(failure);
        }
    }
    k.say_missing(&failures)
}

async fn one(k: &Kubectl<'_>, until: &Until, target: &Target, late: &dyn Fn(&Kubectl<'_>) -> bool) -> Result<()> {
    let mut object = Some(target.object.clone());
    loop {
        match (&object, until) {
            (None, Until::Gone) => {
                k.line(&format!("{} condition met", target.shown()));
                return Ok(());
            }
            (Some(object), _) if met(until, object) => {
                k.line(&format!("{} condition met", target.shown()));
                return Ok(());
            }
            (None, _) => return Err(crate::api::not_found(&target.mapping, &target.name)),
            _ => {}
        }
        if late(k) {
            return Err(Failure::new(format!(
                "timed out waiting for the condition on {}/{}",
                target.mapping.resource, target.name
            )));
        }
        k.transport.sleep(100).await;
        let uid = str_at(&target.object, &["metadata", "uid"]).to_owned();
        object =
            k.find(&target.path()).await?.filter(|o| !matches!(until, Until::Gone) || str_at(o, &["metadata", "uid"]) == uid);
    }
}
