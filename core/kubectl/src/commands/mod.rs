//! One module for each command, and the choice between them.

mod apply;
mod create;
mod delete;
mod describe;
mod diff;
mod explain;
mod get;
mod help;
mod info;
mod label;
mod logs;
mod node;
mod rollout;
mod select;
mod wait;

use crate::{Failure, Kubectl, Result};

/// Runs a command line.
pub(crate) async fn run(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    // Flags that all commands share may stand before the command.
    let start = words.iter().position(|w| !w.starts_with('-')).unwrap_or(words.len());
    let (words, leading) = match words.get(start.saturating_sub(1)) {
        Some(flag) if start > 0 && matches!(flag.as_str(), "-n" | "--namespace" | "-s" | "--context" | "--kubeconfig") => {
            let (head, rest) = words.split_at((start + 1).min(words.len()));
            (rest, head)
        }
        _ => (&words[start..], &words[..start]),
    };
    let Some((command, rest)) = words.split_first() else {
        k.print(help::OVERVIEW);
        return Ok(());
    };
    let end = rest.iter().position(|w| w == "--").unwrap_or(rest.len());
    if rest[..end].iter().any(|w| w == "--help" || w == "-h") {
        k.print(help::text(command).unwrap_or(help::OVERVIEW));
        return Ok(());
    }
    let mut all = rest[..end].to_vec();
    all.extend_from_slice(
        leading.iter().filter(|w| !matches!(w.as_str(), "-h" | "--help")).cloned().collect::<Vec<_>>().as_slice(),
    );
    all.extend_from_slice(&rest[end..]);
    let rest = all.as_slice();
    match command.as_str() {
        "get" => get::run(k, rest).await,
        "apply" => apply::run(k, rest).await,
        "create" => create::run(k, rest).await,
        "run" => create::run_pod(k, rest).await,
        "expose" => create::expose(k, rest).await,
        "delete" => delete::run(k, rest).await,
        "describe" => describe::run(k, rest).await,
        "scale" => rollout::scale(k, rest).await,
        "rollout" => rollout::run(k, rest).await,
        "logs" | "log" => logs::run(k, rest).await,
        "explain" => explain::run(k, rest).await,
        "label" | "annotate" => label::run(k, command, rest).await,
        "set" => label::set(k, rest).await,
        "patch" => apply::patch(k, rest).await,
        "replace" => apply::replace(k, rest).await,
        "diff" => apply::diff(k, rest).await,
        "wait" => wait::run(k, rest).await,
        "cordon" | "uncordon" => node::cordon(k, command, rest).await,
        "version" => info::version(k, rest).await,
        "cluster-info" => info::cluster_info(k, rest).await,
        "api-resources" => info::api_resources(k, rest).await,
        "api-versions" => info::api_versions(k, rest).await,
        "help" => {
            k.print(rest.first().and_then(|c| help::text(c)).unwrap_or(help::OVERVIEW));
            Ok(())
        }
        other => {
            Err(Failure::plain(format!("error: unknown command {other:?} for \"kubectl\"\nRun 'kubectl --help' for usage.")))
        }
    }
}

/// An error of the server, with the file it is about.
pub(crate) fn with_source(mut failure: Failure, doing: &str, source: &str) -> Failure {
    if let Some((head, rest)) = failure.message.split_once("): ").filter(|(h, _)| h.starts_with("Error from server (")) {
        failure.message = format!("{head}): error when {doing} {source:?}: {rest}");
    }
    failure
}
