//! Commands as far as a runtime without processes can follow them: a timeline of what is printed, which files come and go,
//! and when and how it ends.

/// What a container will do, in milliseconds from its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Lines and when they are printed.
    pub prints: Vec<(u64, String)>,
    /// Files and when they are made (`true`) or removed.
    files: Vec<(u64, String, bool)>,
    /// When and with which code it ends; `None`: when it is stopped.
    pub end: Option<(u64, i32)>,
    /// It is no script but some server.
    pub is_server: bool,
}

/// Longest script that is followed, in commands.
const MAX_COMMANDS: usize = 1_000;
/// Images that end at once when nothing is given to them.
const SHELLS: [&str; 8] = ["busybox", "alpine", "ubuntu", "debian", "bash", "sh", "python", "node"];

/// What a container with this command and image does.
pub(super) fn plan(command: &[String], args: &[String], image: &str) -> Plan {
    let base = image.split('@').next().unwrap_or("").rsplit('/').next().unwrap_or("").split(':').next().unwrap_or("");
    let mut words: Vec<&str> = command.iter().chain(args).map(String::as_str).collect();
    if command.is_empty() && !SHELLS.contains(&base) {
        words.clear();
    }
    if words.is_empty() {
        return match base {
            "hello" | "hello-world" => {
                Plan { prints: vec![(0, "Hello from a simulated container!".to_owned())], end: Some((0, 0)), ..Plan::default() }
            }
            _ if SHELLS.contains(&base) => Plan { end: Some((0, 0)), ..Plan::default() },
            _ => server(image),
        };
    }
    let is_shell = matches!(program(words[0]), "sh" | "bash" | "ash");
    match words.iter().position(|w| w.starts_with('-') && w.ends_with('c')) {
        Some(flag) if is_shell => script(words.get(flag + 1).copied().unwrap_or("")),
        _ => commands(&[words]).unwrap_or_else(|| server(image)),
    }
}

fn server(image: &str) -> Plan {
    let line = format!("simulated container of image {image}: runs until it is stopped");
    Plan { prints: vec![(0, line)], is_server: true, ..Plan::default() }
}

/// A shell script: what cannot be followed runs until it is stopped.
fn script(text: &str) -> Plan {
    let text = text.replace("&&", ";").replace('\n', ";");
    let commands_of: Vec<Vec<&str>> =
        text.split(';').map(|part| part.split_whitespace().collect::<Vec<_>>()).filter(|words| !words.is_empty()).collect();
    commands(&commands_of).unwrap_or_else(|| server("sh"))
}

fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Follows the commands one after another; `None` if the very first is unknown.
fn commands(list: &[Vec<&str>]) -> Option<Plan> {
    let mut plan = Plan::default();
    let mut clock = 0u64;
    let mut code = 0;
    for (i, words) in list.iter().take(MAX_COMMANDS).enumerate() {
        let rest = words.get(1..).unwrap_or(&[]);
        let text = || rest.join(" ").trim_matches(['"', '\'']).to_owned();
        let files = || rest.iter().filter(|w| !w.starts_with('-')).map(|w| (*w).to_owned());
        code = 0;
        match program(words.first().copied().unwrap_or("")) {
            "sleep" => match rest.first().and_then(|amount| duration(amount)) {
                Some(millis) => clock = clock.saturating_add(millis),
                None => return Some(plan),
            },
            "echo" => plan.prints.push((clock, text())),
            "true" | ":" | "cd" | "set" | "export" | "mkdir" | "trap" => {}
            "false" => code = 1,
            "exit" => {
                plan.end = Some((clock, rest.first().and_then(|c| c.parse().ok()).unwrap_or(0)));
                return Some(plan);
            }
            "touch" => plan.files.extend(files().map(|file| (clock, file, true))),
            "rm" => plan.files.extend(files().map(|file| (clock, file, false))),
            "cat" => code = i32::from(!files().all(|file| plan.has(&file, clock))),
            _ if i == 0 => return None,
            // What comes now is unknown; what came before has happened.
            _ => return Some(plan),
        }
    }
    plan.end = Some((clock, code));
    Some(plan)
}

impl Plan {
    /// The lines printed between `began` and `until`.
    pub fn lines(&self, began: object::Time, until: object::Time) -> Vec<(object::Time, String)> {
        let timed = self.prints.iter().map(|(at, line)| (began.plus_millis(*at), line.clone()));
        timed.filter(|(at, _)| *at <= until).collect()
    }

    fn has(&self, file: &str, at: u64) -> bool {
        self.files.iter().rev().find(|(when, name, _)| *when <= at && name == file).is_some_and(|(.., made)| *made)
    }

    /// Whether this command, run inside at this moment, succeeds.
    pub fn test(&self, command: &[String], at: u64) -> Result<(), String> {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["cat", file] | ["test", "-f", file] | ["ls", file] if !self.has(file, at) => {
                Err(format!("{}: can't open '{file}': No such file or directory", words[0]))
            }
            ["false"] => Err(String::new()),
            _ => Ok(()),
        }
    }
}

/// `5s`, `1m30s`, `250ms`, or a number of seconds; `None` for everything else (`infinity`).
pub(super) fn duration(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds >= 0.0).then_some((seconds * 1_000.0) as u64);
    }
    let mut total = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0)?;
        let amount: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = match &rest[digits..unit_end] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        total = total.saturating_add((amount * unit) as u64);
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(command: &[&str], image: &str) -> Plan {
        plan(&command.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), &[], image)
    }

    #[test]
    fn commands_end_as_they_say() {
        for (name, command, image, end) in [
            ("sleep", vec!["sleep", "5"], "busybox", Some((5_000, 0))),
            ("for ever", vec!["sleep", "infinity"], "busybox", None),
            ("false", vec!["/bin/false"], "busybox", Some((0, 1))),
            ("a script", vec!["sh", "-c", "echo hi; sleep 1 && exit 3"], "busybox", Some((1_000, 3))),
            ("the last command counts", vec!["sh", "-c", "false; true"], "busybox", Some((0, 0))),
            ("an unknown program", vec!["./serve", "--port", "80"], "app", None),
            ("a shell without input", vec![], "busybox:1.36", Some((0, 0))),
            ("a server", vec![], "docker.io/library/nginx:1.29", None),
        ] {
            assert_eq!(of(&command, image).end, end, "{name}");
        }
    }

    #[test]
    fn files_come_and_go() {
        let plan = of(&["sh", "-c", "touch /tmp/healthy; sleep 30; rm -f /tmp/healthy; sleep 600"], "busybox");
        let probe = ["cat".to_owned(), "/tmp/healthy".to_owned()];
        assert_eq!(plan.test(&probe, 5_000), Ok(()));
        assert!(plan.test(&probe, 31_000).is_err());
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("5", Some(5_000)), ("0.5", Some(500)), ("1m30s", Some(90_000)), ("250ms", Some(250)), ("x", None), ("", None)]
        {
            assert_eq!(duration(text), millis, "{text}");
        }
    }
}
