//! One module for each command, and the choice between them.

mod get;
mod select;

use crate::{Failure, Kubectl, Result};

/// Runs a command line.
pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let Some((command, rest)) = words.split_first() else {
        return Ok(());
    };
    match command.as_str() {
        "get" => get::run(k, rest).await,
        other => Err(Failure::plain(format!("error: unknown command {other:?} for \"kubectl\""))),
    }
}
