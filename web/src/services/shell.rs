//! The shell behind the terminal's screen: takes keys, runs commands one at a time, completes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::Deserialize;
use wasm_bindgen_futures::spawn_local;

use super::api::{self, Abort, Command};
use super::bridge::{self, Screen};
use crate::terminal::complete::{COMMANDS, Slot, choose, slot};
use crate::terminal::line::{LineEditor, Wish};
use crate::terminal::words;

const PROMPT: &str = "\x1b[38;5;39m$\x1b[0m ";
const GREETING: &str =
    "A whole Kubernetes cluster, inside this tab.\nTry \x1b[1mkubectl get nodes\x1b[0m, or \x1b[1mhelp\x1b[0m.\n\n";
const HELP: &str = "\
kubectl (or k) works on the cluster of this tab: get, describe, apply, scale, rollout, logs, delete, explain, …
  kubectl apply -f manifest.yaml     the editor's manifest
  kubectl get pods -w                watch; Ctrl-C stops
  kubectl get pods | grep web        keep some lines
Also: ls, cat FILE, history, clear. Tab completes; Up and Down browse the history; Escape, then Tab leaves the terminal.
";

/// A shell; [`Shell::attach`] gives it a screen.
pub struct Shell {
    screen: RefCell<Option<Screen>>,
    line: RefCell<LineEditor>,
    files: RefCell<Vec<(String, String)>>,
    /// What runs now, to be interrupted.
    running: RefCell<Option<Rc<Abort>>>,
    /// Lines that were typed or pasted while something ran.
    queue: RefCell<Vec<String>>,
    busy: Cell<bool>,
}

impl Shell {
    /// A shell without a screen, with the history of earlier visits.
    pub fn new() -> Rc<Self> {
        Rc::new(Shell {
            screen: RefCell::default(),
            line: RefCell::new(LineEditor::with_history(&bridge::recall("history"))),
            files: RefCell::default(),
            running: RefCell::default(),
            queue: RefCell::default(),
            busy: Cell::new(false),
        })
    }

    /// The files that `-f` and `cat` see.
    pub fn set_files(&self, files: Vec<(String, String)>) {
        self.files.replace(files);
    }

    /// Shows itself on `screen`.
    pub fn attach(self: &Rc<Self>, screen: Screen) {
        screen.write(GREETING);
        self.screen.replace(Some(screen));
        if !self.busy.get() {
            self.write(PROMPT);
        }
        self.next();
    }

    /// Lets go of the screen.
    pub fn detach(&self) {
        if let Some(screen) = self.screen.take() {
            screen.dispose();
        }
    }

    /// Runs `command` as if it was typed.
    pub fn type_and_run(self: &Rc<Self>, command: &str) {
        self.queue.borrow_mut().push(command.to_owned());
        self.next();
    }

    /// Takes what was typed or pasted.
    pub fn keys(self: &Rc<Self>, keys: &str) {
        // A paste is one text of many keys; what a key sends begins with a control character.
        if keys.chars().count() > 1 && !keys.starts_with('\x1b') {
            for (index, line) in keys.replace("\r\n", "\r").replace('\n', "\r").split('\r').enumerate() {
                if index > 0 {
                    self.key("\r");
                }
                if !line.is_empty() {
                    self.key(line);
                }
            }
        } else {
            self.key(keys);
        }
    }

    fn key(self: &Rc<Self>, key: &str) {
        if self.busy.get() {
            if key == "\x03" {
                self.write("^C");
                if let Some(running) = self.running.borrow().as_ref() {
                    running.abort();
                }
            }
            return;
        }
        let wish = self.line.borrow_mut().key(key);
        match wish {
            Wish::None => self.redraw(),
            Wish::Run(line) => {
                self.write("\r\n");
                self.start(line);
            }
            Wish::Complete => self.complete(),
            Wish::Interrupt => self.write(&format!("^C\n{PROMPT}")),
            Wish::Clear => {
                self.write("\x1b[2J\x1b[H");
                self.redraw();
            }
        }
    }

    // Draws prompt and line again. Positions are counted from the right, so a line must fit into the screen's width
    // for the cursor to stand right; longer lines still run as they are.
    fn redraw(&self) {
        let line = self.line.borrow();
        let back = match line.columns_after() {
            0 => String::new(),
            columns => format!("\x1b[{columns}D"),
        };
        self.write(&format!("\r\x1b[J{PROMPT}{}{back}", line.text()));
    }

    fn next(self: &Rc<Self>) {
        if self.busy.get() || self.screen.borrow().is_none() || self.queue.borrow().is_empty() {
            return;
        }
        let command = self.queue.borrow_mut().remove(0);
        self.line.borrow_mut().key("\x15");
        self.line.borrow_mut().insert(&command);
        self.redraw();
        self.key("\r");
    }

    fn start(self: &Rc<Self>, text: String) {
        bridge::remember("history", &self.line.borrow().history().join("\n"));
        self.busy.set(true);
        let shell = self.clone();
        spawn_local(async move {
            if let Err(message) = shell.run(&text).await {
                shell.write(&format!("\x1b[31m{}\x1b[0m\n", message.trim_end()));
            }
            shell.running.replace(None);
            shell.busy.set(false);
            shell.write(PROMPT);
            shell.next();
        });
    }

    async fn run(self: &Rc<Self>, text: &str) -> Result<(), String> {
        let line = words::parse(text)?;
        let Some((command, arguments)) = line.words.split_first() else { return Ok(()) };
        let printed = match command.as_str() {
            "kubectl" | "k" => return self.kubectl(arguments.to_vec(), line.grep).await,
            "clear" => {
                if let Some(screen) = self.screen.borrow().as_ref() {
                    screen.clear();
                }
                "\x1b[2J\x1b[H".to_owned()
            }
            "help" => HELP.to_owned(),
            "history" => self.line.borrow().history().iter().map(|line| format!("{line}\n")).collect(),
            "ls" => self.files.borrow().iter().map(|(name, _)| format!("{name}\n")).collect(),
            "cat" => self.cat(arguments)?,
            other => return Err(format!("{other}: not found; this terminal knows {}", COMMANDS.join(", "))),
        };
        self.write(&filtered(&printed, line.grep.as_deref()));
        Ok(())
    }

    fn cat(&self, names: &[String]) -> Result<String, String> {
        let files = self.files.borrow();
        let text = |name: &String| {
            let file = files.iter().find(|(known, _)| known == name);
            file.map(|(_, text)| text.clone()).ok_or_else(|| format!("cat: {name}: no such file"))
        };
        names.iter().map(text).collect()
    }

    async fn kubectl(self: &Rc<Self>, argv: Vec<String>, grep: Option<String>) -> Result<(), String> {
        let abort = Abort::new().map_err(|error| bridge::error_text(&error))?;
        self.running.replace(Some(abort.clone()));
        let command = Command { argv, stdin: String::new(), files: self.files.borrow().clone() };
        let shell = self.clone();
        let print = move |is_error: bool, text: String| {
            if is_error {
                shell.write(&format!("\x1b[31m{text}\x1b[0m"));
            } else {
                shell.write(&filtered(&text, grep.as_deref()));
            }
        };
        let code = api::kubectl(&command, print, &abort).await?;
        if code == 130 {
            self.write("\n");
        }
        Ok(())
    }

    fn complete(self: &Rc<Self>) {
        let before = self.line.borrow().before_cursor();
        let mut typed: Vec<String> = before.split_whitespace().map(str::to_owned).collect();
        if before.is_empty() || before.ends_with(' ') {
            typed.push(String::new());
        }
        let wanted = slot(&typed);
        let word = typed.pop().unwrap_or_default();
        let shell = self.clone();
        spawn_local(async move {
            let (prefix, candidates, ending) = shell.candidates(wanted).await;
            let (more, fitting) = choose(word.strip_prefix(&prefix).unwrap_or(&word), &candidates);
            // Answers may come late: only if nothing was typed since.
            if shell.busy.get() || shell.line.borrow().before_cursor() != before || fitting.is_empty() {
                return;
            }
            if fitting.len() == 1 {
                let space = if more.ends_with(['=', '/']) { "" } else { ending };
                shell.line.borrow_mut().insert(&format!("{more}{space}"));
            } else if more.is_empty() {
                shell.write(&format!("\n{}", shell.columns(&fitting)));
            } else {
                shell.line.borrow_mut().insert(&more);
            }
            shell.redraw();
        });
    }

    /// What stands before the candidates in the same word, the candidates, and what follows a chosen one.
    async fn candidates(&self, wanted: Slot) -> (String, Vec<String>, &'static str) {
        let plain = |list: Vec<String>| (String::new(), list, " ");
        match wanted {
            Slot::Words(list) => plain(list.into_iter().map(str::to_owned).collect()),
            Slot::File => plain(self.files.borrow().iter().map(|(name, _)| name.clone()).collect()),
            Slot::Resource { .. } => plain(resources().await.into_iter().map(|resource| resource.name).collect()),
            Slot::Namespace => plain(names("/api/v1/namespaces").await),
            Slot::Name { resource, prefix, namespace } => {
                let known = resources().await.into_iter().find(|known| known.is(&resource));
                let list = match known {
                    Some(known) => names(&known.path(namespace.as_deref().unwrap_or("default"))).await,
                    None => Vec::new(),
                };
                (prefix, list, " ")
            }
            Slot::Nothing => plain(Vec::new()),
        }
    }

    fn columns(&self, words: &[String]) -> String {
        let width = words.iter().map(String::len).max().unwrap_or(0) + 2;
        let screen = self.screen.borrow().as_ref().map_or(80, Screen::columns) as usize;
        let per_line = (screen / width).max(1);
        words.chunks(per_line).map(|row| row.iter().map(|word| format!("{word:width$}")).collect::<String>() + "\n").collect()
    }

    fn write(&self, text: &str) {
        if let Some(screen) = self.screen.borrow().as_ref() {
            screen.write(text);
        }
    }
}

/// Only the lines with `pattern`.
fn filtered(text: &str, pattern: Option<&str>) -> String {
    match pattern {
        None => text.to_owned(),
        Some(pattern) => text.lines().filter(|line| line.contains(pattern)).map(|line| format!("{line}\n")).collect(),
    }
}

/// A resource as discovery tells it.
struct Resource {
    base: String,
    name: String,
    singular: String,
    short: Vec<String>,
    namespaced: bool,
}

impl Resource {
    fn is(&self, name: &str) -> bool {
        let name = name.split('.').next().unwrap_or(name);
        self.name == name || self.singular == name || self.short.iter().any(|short| short == name)
    }

    fn path(&self, namespace: &str) -> String {
        let Resource { base, name, .. } = self;
        if self.namespaced { format!("{base}/namespaces/{namespace}/{name}") } else { format!("{base}/{name}") }
    }
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    preferred_version: GroupVersion,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    group_version: String,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<ApiResource>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct ApiResource {
    name: String,
    singular_name: String,
    namespaced: bool,
    short_names: Vec<String>,
}

/// All resources of the preferred versions, asked for anew each time: CRDs come and go, and the answer is near.
async fn resources() -> Vec<Resource> {
    let groups = api::get("/apis").await.ok().and_then(|text| serde_json::from_str::<Groups>(&text).ok());
    let mut bases = vec!["/api/v1".to_owned()];
    bases.extend(groups.into_iter().flat_map(|g| g.groups).map(|g| format!("/apis/{}", g.preferred_version.group_version)));
    let mut found = Vec::new();
    for base in bases {
        let Some(list) = api::get(&base).await.ok().and_then(|text| serde_json::from_str::<Resources>(&text).ok()) else {
            continue;
        };
        found.extend(list.resources.into_iter().filter(|r| !r.name.contains('/')).map(|r| Resource {
            base: base.clone(),
            name: r.name,
            singular: r.singular_name,
            short: r.short_names,
            namespaced: r.namespaced,
        }));
    }
    found
}

#[derive(Deserialize)]
struct Names {
    items: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    metadata: NamedMeta,
}

#[derive(Deserialize)]
struct NamedMeta {
    name: String,
}

async fn names(path: &str) -> Vec<String> {
    let list = api::get(path).await.ok().and_then(|text| serde_json::from_str::<Names>(&text).ok());
    list.into_iter().flat_map(|list| list.items).map(|item| item.metadata.name).collect()
}
