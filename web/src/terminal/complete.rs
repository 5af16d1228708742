//! Completion: what could stand where the cursor is, in kubectl's grammar.

/// What the word under the cursor is.
#[derive(Clone, Debug, PartialEq)]
pub enum Slot {
    /// One of these words.
    Words(Vec<&'static str>),
    /// A resource as kubectl names it; `slash`: `deployment/` may follow.
    Resource { slash: bool },
    /// The name of an object of this resource; `prefix` stands before it in the same word (`deployment/`).
    Name { resource: String, prefix: String, namespace: Option<String> },
    /// A namespace.
    Namespace,
    /// A file of the editor.
    File,
    /// Nothing that can be known.
    Nothing,
}

/// The shell's own commands.
pub const COMMANDS: [&str; 7] = ["kubectl", "k", "help", "clear", "history", "ls", "cat"];

const VERBS: [&str; 28] = [
    "annotate",
    "api-resources",
    "api-versions",
    "apply",
    "auth",
    "cluster-info",
    "config",
    "cordon",
    "create",
    "delete",
    "describe",
    "diff",
    "drain",
    "edit",
    "explain",
    "expose",
    "get",
    "label",
    "logs",
    "patch",
    "replace",
    "rollout",
    "run",
    "scale",
    "set",
    "taint",
    "uncordon",
    "version",
];
const ROLLOUT: [&str; 6] = ["history", "pause", "restart", "resume", "status", "undo"];
const OUTPUTS: [&str; 5] = ["json", "name", "wide", "yaml", "jsonpath="];

/// What could stand at the end of `words`; the last one is being typed (and may be empty).
pub fn slot(words: &[String]) -> Slot {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((typing, before)) = words.split_last() else { return Slot::Nothing };
    match before {
        [] => Slot::Words(COMMANDS.to_vec()),
        ["cat", ..] => Slot::File,
        ["kubectl" | "k", rest @ ..] => kubectl(rest, typing),
        _ => Slot::Nothing,
    }
}

fn kubectl(before: &[&str], typing: &str) -> Slot {
    match before.last() {
        Some(&("-n" | "--namespace")) => return Slot::Namespace,
        Some(&("-f" | "--filename")) => return Slot::File,
        Some(&("-o" | "--output")) => return Slot::Words(OUTPUTS.to_vec()),
        _ => {}
    }
    if typing.starts_with('-') {
        return Slot::Words(flags(before));
    }
    let plain = positional(before);
    let namespace = value_of(before, &["-n", "--namespace"]);
    let name = |resource: &str| Slot::Name { resource: resource.to_owned(), prefix: String::new(), namespace: namespace.clone() };
    match plain[..] {
        [] => Slot::Words(VERBS.to_vec()),
        ["get" | "describe" | "delete" | "edit" | "label" | "annotate" | "patch" | "scale"] => {
            resource_or_name(typing, namespace, true)
        }
        ["explain"] => Slot::Resource { slash: false },
        ["rollout"] => Slot::Words(ROLLOUT.to_vec()),
        ["rollout", _] => resource_or_name(typing, namespace, true),
        ["logs" | "exec" | "attach"] if !typing.contains('/') => name("pods"),
        ["logs" | "exec"] => resource_or_name(typing, namespace, true),
        ["cordon" | "uncordon" | "drain"] => name("nodes"),
        ["taint"] => Slot::Words(vec!["nodes"]),
        ["set"] => Slot::Words(vec!["image"]),
        ["set", "image"] => resource_or_name(typing, namespace, true),
        ["create"] => Slot::Words(vec!["configmap", "deployment", "job", "namespace", "secret", "service", "serviceaccount"]),
        ["get" | "describe" | "delete" | "edit" | "label" | "annotate" | "patch" | "scale" | "taint", resource, ..]
            if !resource.contains('/') =>
        {
            name(resource)
        }
        ["rollout", _, resource] if !resource.contains('/') => name(resource),
        _ => Slot::Nothing,
    }
}

fn resource_or_name(typing: &str, namespace: Option<String>, slash: bool) -> Slot {
    match typing.split_once('/') {
        Some((resource, _)) => Slot::Name { resource: resource.to_owned(), prefix: format!("{resource}/"), namespace },
        None => Slot::Resource { slash },
    }
}

fn flags(before: &[&str]) -> Vec<&'static str> {
    let mut flags = vec!["--namespace", "--output", "--help"];
    flags.extend(match before.first() {
        Some(&"get") => vec!["--all-namespaces", "--watch", "--selector", "--field-selector", "--show-labels", "--sort-by"],
        Some(&"apply") => vec!["--filename", "--server-side", "--dry-run", "--force-conflicts"],
        Some(&"delete") => vec!["--filename", "--all", "--grace-period", "--force", "--cascade", "--selector"],
        Some(&"scale") => vec!["--replicas"],
        Some(&"logs") => vec!["--follow", "--previous", "--tail", "--container", "--selector"],
        Some(&"rollout") => vec!["--to-revision", "--watch"],
        Some(&"create") => vec!["--image", "--replicas", "--dry-run", "--filename"],
        _ => vec![],
    });
    flags
}

/// Words that are neither flags nor values of flags.
fn positional<'a>(words: &[&'a str]) -> Vec<&'a str> {
    const VALUED: [&str; 12] = [
        "-n",
        "--namespace",
        "-o",
        "--output",
        "-l",
        "--selector",
        "-f",
        "--filename",
        "-c",
        "--container",
        "--tail",
        "--replicas",
    ];
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if VALUED.contains(word) {
            words.next();
        } else if !word.starts_with('-') {
            found.push(*word);
        }
    }
    found
}

fn value_of(words: &[&str], flags: &[&str]) -> Option<String> {
    let at = words.iter().position(|word| flags.contains(word))?;
    words.get(at + 1).map(|value| (*value).to_owned())
}

/// What of `candidates` begins with `typed`, and the longest text they all go on with.
pub fn choose(typed: &str, candidates: &[String]) -> (String, Vec<String>) {
    let mut fitting: Vec<String> = candidates.iter().filter(|c| c.starts_with(typed)).cloned().collect();
    fitting.sort();
    fitting.dedup();
    let common = fitting.iter().skip(1).fold(fitting.first().cloned().unwrap_or_default(), |common, other| {
        common.chars().zip(other.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    });
    (common.get(typed.len()..).unwrap_or_default().to_owned(), fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots() {
        let name = |resource: &str, prefix: &str, namespace: Option<&str>| Slot::Name {
            resource: resource.to_owned(),
            prefix: prefix.to_owned(),
            namespace: namespace.map(str::to_owned),
        };
        let cases = [
            ("kubectl get ", Slot::Resource { slash: true }),
            ("k get po", Slot::Resource { slash: true }),
            ("k get pods ", name("pods", "", None)),
            ("k get pods -n kube-system ", name("pods", "", Some("kube-system"))),
            ("k get deploy/", name("deploy", "deploy/", None)),
            ("k logs ", name("pods", "", None)),
            ("k rollout ", Slot::Words(ROLLOUT.to_vec())),
            ("k rollout undo deployment ", name("deployment", "", None)),
            ("k get -n ", Slot::Namespace),
            ("k apply -f ", Slot::File),
            ("k get pods -o ", Slot::Words(OUTPUTS.to_vec())),
            ("kub", Slot::Words(COMMANDS.to_vec())),
            ("k drain ", name("nodes", "", None)),
            ("unknown ", Slot::Nothing),
        ];
        for (line, expected) in cases {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(slot(&words), expected, "{line}");
        }
    }

    #[test]
    fn choosing() {
        let candidates: Vec<String> = ["pods", "podtemplates", "services"].map(str::to_owned).to_vec();
        assert_eq!(choose("po", &candidates).0, "d");
        assert_eq!(choose("s", &candidates), ("ervices".to_owned(), vec!["services".to_owned()]));
        assert_eq!(choose("x", &candidates), (String::new(), vec![]));
    }
}
