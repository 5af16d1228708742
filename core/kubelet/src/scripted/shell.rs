//! As much of a shell as a timeline can follow: variables, sums, `if`, and where output goes.
//!
//! Whatever is beyond that is `None`: the script goes on in a way that nobody knows.

/// What a script finds when it begins.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    /// Its environment.
    pub env: &'a [(String, String)],
    /// The user and group that it runs as.
    pub user: (u64, u64),
    /// Whether a file is in one of its volumes already.
    pub kept: &'a dyn Fn(&str) -> bool,
}

impl Scene<'_> {
    /// Nothing at all.
    pub const EMPTY: Scene<'static> = Scene { env: &[], user: (0, 0), kept: &|_| false };
}

/// The `if`s around a command, from the outermost.
#[derive(Default)]
pub(super) struct Branches(Vec<Branch>);

#[derive(Clone, Copy, PartialEq)]
enum Branch {
    /// What stands here is done.
    Taken,
    /// No condition has held yet.
    Waiting,
    /// Another branch was taken, or the whole `if` is passed over.
    Over,
}

impl Branches {
    /// Whether what stands here is done.
    pub fn run(&self) -> bool {
        self.0.iter().all(|branch| *branch == Branch::Taken)
    }

    /// Takes the words of an `if` off the front of a command and returns what is left.
    pub fn enter<'t>(&mut self, part: &'t str, holds: impl Fn(&str) -> Option<bool>) -> Option<&'t str> {
        let branch = |condition: &str| holds(condition).map(|yes| if yes { Branch::Taken } else { Branch::Waiting });
        let mut rest = part;
        loop {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            match (word, self.0.last().copied()) {
                ("if", _) => {
                    let first = if self.run() { branch(after)? } else { Branch::Over };
                    self.0.push(first);
                    return Some("");
                }
                ("elif", Some(last)) => {
                    let next = if last == Branch::Waiting { branch(after)? } else { Branch::Over };
                    self.replace(next);
                    return Some("");
                }
                ("else", Some(last)) => self.replace(if last == Branch::Waiting { Branch::Taken } else { Branch::Over }),
                ("then", Some(_)) => {}
                ("fi", Some(_)) => {
                    self.0.pop();
                }
                _ => return Some(rest),
            }
            rest = after.trim_start();
        }
    }

    fn replace(&mut self, branch: Branch) {
        if let Some(last) = self.0.last_mut() {
            *last = branch;
        }
    }
}

/// The words of a command, with the values of its variables.
pub(super) fn words(part: &str, scene: Scene<'_>) -> Option<Vec<String>> {
    let text = if part.contains('\'') { part.to_owned() } else { expand(part, scene)? };
    Some(text.split_whitespace().map(str::to_owned).collect())
}

fn expand(text: &str, scene: Scene<'_>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = if let Some(inner) = after.strip_prefix('(') {
            // What is inside has no parenthesis, so this goes one level down at most.
            let (inner, tail) = inner.split_once(')')?;
            out.push_str(&match inner {
                "id -u" => scene.user.0.to_string(),
                "id -g" => scene.user.1.to_string(),
                _ => sum(&expand(inner, scene)?)?.to_string(),
            });
            tail
        } else {
            let (name, tail) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}')?,
                None => after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())),
            };
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return None;
            }
            out.push_str(scene.env.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value));
            tail
        };
    }
    out.push_str(rest);
    Some(out)
}

/// `expr A + B` and its like.
fn sum(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let ["expr", a, operator, b] = words.as_slice() else { return None };
    let (a, b): (i64, i64) = (a.parse().ok()?, b.parse().ok()?);
    match *operator {
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "/" => a.checked_div(b),
        "%" => a.checked_rem(b),
        _ => None,
    }
}

/// Whether a condition (`[ ... ]`, `[[ ... ]]`, `test ...`) holds, where `has` says which files there are.
pub(super) fn holds(words: &[String], has: impl Fn(&str) -> bool) -> Option<bool> {
    let words: Vec<&str> = words.iter().map(|w| w.trim_matches('"')).collect();
    let inner = match words.as_slice() {
        ["[", inner @ .., "]"] | ["[[", inner @ .., "]]"] | ["test", inner @ ..] => inner,
        ["true"] => return Some(true),
        ["false"] => return Some(false),
        _ => return None,
    };
    let (not, inner) = if let ["!", inner @ ..] = inner { (true, inner) } else { (false, inner) };
    let yes = match inner {
        ["-e" | "-f" | "-r" | "-s", file] => has(file),
        [a, "=" | "==", b] => a == b,
        [a, "!=", b] => a != b,
        [a, operator, b] => {
            let order = a.parse::<i64>().ok()?.cmp(&b.parse().ok()?);
            match *operator {
                "-eq" => order.is_eq(),
                "-ne" => order.is_ne(),
                "-lt" => order.is_lt(),
                "-le" => order.is_le(),
                "-gt" => order.is_gt(),
                "-ge" => order.is_ge(),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(yes != not)
}

/// `NAME=value` before a command.
pub(super) fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Takes `> FILE` out of a command; what goes to `2>` goes nowhere.
pub(super) fn redirect(words: &mut Vec<String>) -> Option<String> {
    words.retain(|word| !word.starts_with("2>"));
    let at = words.iter().position(|word| word.starts_with('>'))?;
    let target = words.remove(at).trim_start_matches('>').to_owned();
    if target.is_empty() && at < words.len() { Some(words.remove(at)) } else { Some(target) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_values() {
        let env = [("I".to_owned(), "3".to_owned())];
        for (text, expected) in [
            ("a $I ${I}b $NONE.", Some("a 3 3b .")),
            ("[ $(expr ${I} % 2) -ne 0 ]", Some("[ 1 -ne 0 ]")),
            ("echo '$I'", Some("echo '$I'")),
            ("$(id -u):$(id -g)", Some("65534:7")),
            ("$(date)", None),
            ("$(expr 1 / 0)", None),
            ("$? $", None),
            ("${I", None),
        ] {
            let scene = Scene { env: &env, user: (65_534, 7), kept: &|_| false };
            let got = words(text, scene).map(|words| words.join(" "));
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn conditions() {
        for (text, expected) in [
            ("[[ -r /a ]]", Some(true)),
            ("[ ! -f /a ]", Some(false)),
            ("test -e /b", Some(false)),
            ("[ 2 -ge 1 ]", Some(true)),
            ("[ \"x\" = \"y\" ]", Some(false)),
            ("[ x -eq 1 ]", None),
            ("grep a b", None),
        ] {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            assert_eq!(holds(&words, |file| file == "/a"), expected, "{text}");
        }
    }
}
