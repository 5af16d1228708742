//! Commands as far as a runtime without processes can follow them: a timeline of what is printed, which files come and go,
//! and when and how it ends.

use super::shell::{self, Branches, Scene};

/// What a container will do, in milliseconds from its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Lines and when they are printed.
    pub prints: Vec<(u64, String)>,
    /// The last line is not at its end yet.
    unfinished: bool,
    /// What is written into files, and when.
    texts: Vec<(u64, String, String)>,
    /// Files and when they are made (`true`) or removed.
    pub files: Vec<(u64, String, bool)>,
    /// When and with which code it ends; `None`: when it is stopped.
    pub end: Option<(u64, i32)>,
    /// It is no script but some server.
    pub is_server: bool,
}

/// Longest script that is followed, in commands.
const MAX_COMMANDS: usize = 1_000;
/// So much of a log stands in for last words.
const MAX_LAST_LINES: usize = 80;
const MAX_LAST_BYTES: usize = 2_048;
/// Images that end at once when nothing is given to them.
const SHELLS: [&str; 8] = ["busybox", "alpine", "ubuntu", "debian", "bash", "sh", "python", "node"];

/// What a container with this command and image does.
pub(super) fn plan(command: &[String], args: &[String], image: &str, scene: Scene<'_>) -> Plan {
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
        Some(flag) if is_shell => script(words.get(flag + 1).copied().unwrap_or(""), scene),
        _ => {
            let mut plan = Follower::new(scene);
            let known = plan.run(&words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            plan.end(known).unwrap_or_else(|| server(image))
        }
    }
}

fn server(image: &str) -> Plan {
    let line = format!("simulated container of image {image}: runs until it is stopped");
    Plan { prints: vec![(0, line)], is_server: true, ..Plan::default() }
}

/// A shell script: what cannot be followed runs until it is stopped.
fn script(text: &str, scene: Scene<'_>) -> Plan {
    let text = text.replace("&&", ";").replace('\n', ";");
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    let mut follower = Follower::new(scene);
    let mut branches = Branches::default();
    let mut known = Some(true);
    for part in parts.take(MAX_COMMANDS) {
        let holds = |text: &str| shell::holds(&shell::words(text, scene)?, |file| follower.has(file));
        known = branches.enter(part, holds).and_then(|command| {
            if command.is_empty() || !branches.run() {
                return Some(true);
            }
            let mut words = shell::words(command, scene)?;
            follower.target = shell::redirect(&mut words);
            if let Some(file) = &follower.target {
                follower.plan.files.push((follower.clock, file.clone(), true));
            }
            follower.run(&words)
        });
        if known != Some(true) {
            break;
        }
    }
    follower.end(known).unwrap_or_else(|| server("sh"))
}

fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Follows commands one after another.
struct Follower<'a> {
    scene: Scene<'a>,
    plan: Plan,
    clock: u64,
    code: i32,
    /// Something was done already.
    begun: bool,
    /// What is printed now goes into this file.
    target: Option<String>,
}

impl<'a> Follower<'a> {
    fn new(scene: Scene<'a>) -> Self {
        Follower { scene, plan: Plan::default(), clock: 0, code: 0, begun: false, target: None }
    }

    fn has(&self, file: &str) -> bool {
        self.plan.made(file, self.clock).unwrap_or_else(|| (self.scene.kept)(file))
    }

    /// Runs a command; `None` if it is unknown, `Some(false)` if nothing comes after it.
    fn run(&mut self, words: &[String]) -> Option<bool> {
        // Variables that are set for one command change nothing here: its words have their values already.
        let words = &words[words.iter().take_while(|word| shell::is_assignment(word)).count()..];
        let rest = words.get(1..).unwrap_or(&[]);
        let files = || rest.iter().filter(|w| !w.starts_with('-'));
        self.code = 0;
        match program(words.first().map_or("", String::as_str)) {
            "sleep" => match rest.first().and_then(|amount| duration(amount)) {
                Some(millis) => self.clock = self.clock.saturating_add(millis),
                None => {
                    self.begun = true;
                    return None;
                }
            },
            "echo" => {
                let (open, rest) = if rest.first().is_some_and(|w| w == "-n") { (true, &rest[1..]) } else { (false, rest) };
                self.print(rest.join(" ").trim_matches(['"', '\'']), open);
            }
            "env" | "printenv" if rest.is_empty() => {
                for (name, value) in self.scene.env {
                    self.print(&format!("{name}={value}"), false);
                }
            }
            "id" if rest.is_empty() => {
                let (user, group) = self.scene.user;
                self.print(&format!("uid={user} gid={group} groups={group}"), false);
            }
            "true" | ":" | "cd" | "set" | "export" | "mkdir" | "trap" => {}
            "false" => self.code = 1,
            "test" | "[" | "[[" => self.code = i32::from(!shell::holds(words, |file| self.has(file))?),
            "exit" => {
                self.code = rest.first().and_then(|c| c.parse().ok()).unwrap_or(0);
                return Some(false);
            }
            "touch" => self.plan.files.extend(files().map(|file| (self.clock, file.clone(), true))),
            "rm" => self.plan.files.extend(files().map(|file| (self.clock, file.clone(), false))),
            "cat" => self.code = i32::from(!files().all(|file| self.has(file))),
            _ => return None,
        }
        self.begun = true;
        Some(true)
    }

    /// Prints a line, or its beginning.
    fn print(&mut self, text: &str, open: bool) {
        if let Some(file) = &self.target {
            let end = if open { "" } else { "\n" };
            self.plan.texts.push((self.clock, file.clone(), format!("{text}{end}")));
            return;
        }
        match self.plan.prints.last_mut() {
            Some((_, line)) if self.plan.unfinished => line.push_str(text),
            _ => self.plan.prints.push((self.clock, text.to_owned())),
        }
        self.plan.unfinished = open;
    }

    /// What came of it. What comes after an unknown command is unknown, what came before has happened; `None` if there was nothing.
    fn end(mut self, known: Option<bool>) -> Option<Plan> {
        match known {
            Some(_) => self.plan.end = Some((self.clock, self.code)),
            None if !self.begun => return None,
            None => {}
        }
        Some(self.plan)
    }
}

impl Plan {
    /// The lines printed between `began` and `until`.
    pub fn lines(&self, began: object::Time, until: object::Time) -> Vec<(object::Time, String)> {
        let timed = self.prints.iter().map(|(at, line)| (began.plus_millis(*at), line.clone()));
        timed.filter(|(at, _)| *at <= until).collect()
    }

    /// What it leaves behind when it ends then: what it wrote into this file, or what it printed.
    pub fn last_words(&self, file: &str, or_printed: bool, at: u64) -> String {
        if let Some((.., text)) = self.texts.iter().rev().find(|(when, name, _)| *when <= at && name == file) {
            return text.clone();
        }
        let lines: Vec<&str> =
            self.prints.iter().filter(|(when, _)| or_printed && *when <= at).map(|(_, l)| l.as_str()).collect();
        let end = if lines.is_empty() || self.unfinished { "" } else { "\n" };
        let all = lines[lines.len().saturating_sub(MAX_LAST_LINES)..].join("\n") + end;
        let from = all.len().saturating_sub(MAX_LAST_BYTES);
        all[(from..=all.len()).find(|at| all.is_char_boundary(*at)).unwrap_or(all.len())..].to_owned()
    }

    /// Whether it has made or removed a file by then; `None` if neither.
    fn made(&self, file: &str, at: u64) -> Option<bool> {
        self.files.iter().rev().find(|(when, name, _)| *when <= at && name == file).map(|(.., made)| *made)
    }

    /// Whether this command, run inside at this moment, succeeds; what is unknown does.
    pub fn test(&self, command: &[String], at: u64) -> Result<(), String> {
        let kept = |file: &str| self.made(file, at) == Some(true);
        if let [tool, file] = command
            && let tool @ ("cat" | "ls") = program(tool)
        {
            let why = || format!("{tool}: can't open '{file}': No such file or directory");
            return if kept(file) { Ok(()) } else { Err(why()) };
        }
        match plan(command, &[], "sh", Scene { kept: &kept, ..Scene::EMPTY }).end {
            Some((_, code)) if code != 0 => Err(String::new()),
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
        plan(&command.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), &[], image, Scene::EMPTY)
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
        for (command, good) in [
            (vec!["/bin/false"], false),
            (vec!["test", "-f", "/tmp/healthy"], true),
            (vec!["/bin/sh", "-c", "[ -e /none ]"], false),
            (vec!["/app/check", "--all"], true),
        ] {
            let command: Vec<String> = command.into_iter().map(str::to_owned).collect();
            assert_eq!(plan.test(&command, 5_000).is_ok(), good, "{command:?}");
        }
    }

    #[test]
    fn output_goes_into_files() {
        let plan = of(&["sh", "-c", "echo ok >/tmp/health; echo no > /dev/null 2>&1; echo yes; sleep 600"], "busybox");
        assert_eq!(plan.test(&["cat".to_owned(), "/tmp/health".to_owned()], 0), Ok(()));
        assert_eq!(plan.prints, [(0, "yes".to_owned())]);
    }

    #[test]
    fn last_words_are_in_a_file_or_in_the_log() {
        for (script, file, from_log, expected) in [
            ("/bin/echo -n DONE > /dev/custom-log", "/dev/custom-log", false, "DONE"),
            ("/bin/echo -n DONE; /bin/false", "/dev/termination-log", true, "DONE"),
            ("/bin/echo -n DONE; /bin/true", "/dev/termination-log", false, ""),
            ("/bin/echo -n OK > /dev/termination-log; /bin/echo DONE; /bin/true", "/dev/termination-log", true, "OK"),
            ("echo -n a; echo b; echo c", "/none", true, "ab\nc\n"),
        ] {
            assert_eq!(of(&["sh", "-c", script], "busybox").last_words(file, from_log, 0), expected, "{script}");
        }
    }

    #[test]
    fn the_environment_is_printed() {
        let env = [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x y".to_owned())];
        let command = ["sh", "-c", "env; A=2 echo \"$B\""].map(str::to_owned);
        let plan = plan(&command, &[], "busybox", Scene { env: &env, user: (0, 0), kept: &|_| false });
        let lines: Vec<&str> = plan.prints.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!((lines, plan.end), (vec!["A=1", "B=x y", "x y"], Some((0, 0))));
    }

    #[test]
    fn scripts_choose() {
        let odd = "if [ $(expr ${I} % 2) -ne 0 ]; then\n exit 1\n else\n exit 0\n fi";
        let once =
            "if [[ -r /data/foo ]]\n then\n exit 0\n elif [[ $I -eq 0 ]]\n then touch /data/foo; sleep 9\n else\n exit 1\n fi";
        for (name, script, index, kept, end) in [
            ("odd", odd, "3", false, Some((0, 1))),
            ("even", odd, "2", false, Some((0, 0))),
            ("the file is there", once, "1", true, Some((0, 0))),
            ("the first makes it", once, "0", false, Some((9_000, 0))),
            ("the others fail", once, "1", false, Some((0, 1))),
            ("nested", "if false; then if true; then exit 1; fi; else exit 2; fi", "", false, Some((0, 2))),
            ("after it", "if true; then touch /a; fi; if [ -f /a ]; then exit 4; fi", "", false, Some((0, 4))),
            ("an unknown condition", "if grep x y; then exit 1; fi", "", false, None),
            ("an unknown command in a branch not taken", "if false; then serve; fi; exit 5", "", false, Some((0, 5))),
        ] {
            let env = [("I".to_owned(), index.to_owned())];
            let command = ["sh", "-c", script].map(str::to_owned);
            let plan =
                plan(&command, &[], "busybox", Scene { env: &env, user: (0, 0), kept: &|file| kept && file == "/data/foo" });
            assert_eq!(plan.end, end, "{name}");
        }
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
