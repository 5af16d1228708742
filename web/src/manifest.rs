//! Finds places in a YAML manifest by the names API messages use. It reads indentation only (block style, as people
//! write manifests); what it does not understand it does not find.

/// One document of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<'a> {
    /// Its first line in the whole text, from 1.
    pub first_line: usize,
    /// Its text.
    pub text: &'a str,
}

/// A message about a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Line in the whole text, from 1.
    pub line: usize,
    /// For people.
    pub message: String,
}

/// Splits at `---` lines; documents without content are left out.
pub fn documents(text: &str) -> Vec<Document<'_>> {
    let mut found = Vec::new();
    let (mut start, mut first_line, mut at) = (0, 1, 0);
    let mut push = |from: usize, to: usize, first_line: usize| {
        let part = &text[from..to];
        if part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
            found.push(Document { first_line, text: part });
        }
    };
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            push(start, at, first_line);
            (start, first_line) = (at + line.len(), index + 2);
        }
        at += line.len();
    }
    push(start, at, first_line);
    found
}

impl Document<'_> {
    /// The line (in the whole text) of the field `path`, or of its nearest parent that is there.
    pub fn line_of(&self, path: &str) -> usize {
        let steps = steps(path);
        (1..=steps.len()).rev().find_map(|length| self.find(&steps[..length])).unwrap_or(self.top())
    }

    /// The plain value of the field `path`.
    pub fn value(&self, path: &str) -> Option<&str> {
        let line = self.find(&steps(path))?;
        let text = self.text.lines().nth(line - self.first_line)?;
        let value = text.split_once(':')?.1.trim();
        Some(value.split(" #").next().unwrap_or(value).trim().trim_matches(['"', '\'']))
    }

    fn top(&self) -> usize {
        let content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        self.first_line + self.text.lines().position(content).unwrap_or(0)
    }

    fn find(&self, steps: &[Step]) -> Option<usize> {
        let lines: Vec<(usize, usize, &str)> = self.entries();
        let (mut from, mut to) = (0, lines.len());
        let mut found = None;
        for step in steps {
            let indent = lines[from..to].first()?.1;
            let at = match step {
                Step::Field(name) => (from..to).find(|&i| lines[i].1 == indent && key(lines[i].2) == Some(name))?,
                Step::Index(index) => {
                    let mut items = (from..to).filter(|&i| lines[i].1 == indent && lines[i].2.starts_with("- "));
                    items.nth(*index)?
                }
            };
            found = Some(lines[at].0);
            // The children: what follows with more indentation. Items of a list may stand as deep as their field.
            let own_list = matches!(step, Step::Field(_));
            let inside = |i: &usize| lines[*i].1 > indent || (own_list && lines[*i].1 == indent && lines[*i].2.starts_with("- "));
            let end = (at + 1..to).find(|i| !inside(i)).unwrap_or(to);
            (from, to) = (at + 1, end);
        }
        found
    }

    // Lines with content, as (line number, indentation, text). The dash of a list item is an entry of its own, so that
    // `- name: a` is the item and, two columns deeper, its first field.
    fn entries(&self) -> Vec<(usize, usize, &str)> {
        let mut entries = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            let mut rest = line.trim_start();
            let mut indent = line.len() - rest.len();
            if rest.is_empty() || rest.starts_with('#') {
                continue;
            }
            while let Some(item) = rest.strip_prefix("- ") {
                entries.push((self.first_line + number, indent, "- "));
                let deeper = item.trim_start();
                indent += 2 + item.len() - deeper.len();
                rest = deeper;
            }
            entries.push((self.first_line + number, indent, rest));
        }
        entries
    }
}

enum Step {
    Field(String),
    Index(usize),
}

/// `spec.template.spec.containers[0].image`, also with `[key]` in brackets.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        steps.extend(pieces.next().filter(|name| !name.is_empty()).map(|name| Step::Field(name.to_owned())));
        for piece in pieces {
            let inner = piece.trim_end_matches(']').trim_matches(['"', '\'']);
            steps.push(inner.parse().map(Step::Index).unwrap_or_else(|_| Step::Field(inner.to_owned())));
        }
    }
    steps
}

fn key(text: &str) -> Option<&str> {
    let (key, rest) = text.split_once(':')?;
    (rest.is_empty() || rest.starts_with(' ')).then(|| key.trim().trim_matches(['"', '\'']))
}

/// Places the messages of a failed `kubectl apply` in the manifest it was given.
pub fn findings(text: &str, printed: &str) -> Vec<Finding> {
    let documents = documents(text);
    let mut found = Vec::new();
    let mut about: Option<usize> = None;
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        if let Some(finding) = yaml_error(line, &documents) {
            found.push(finding);
            continue;
        }
        about = named(line, &documents).or(about);
        let Some(document) = documents.get(about.unwrap_or(0)) else { continue };
        let fields = fields(line);
        if fields.is_empty() {
            if line.starts_with("Error")
                || line.starts_with("error")
                || line.contains(" is invalid") && !line.ends_with("is invalid: ")
            {
                found.push(Finding { line: document.top(), message: line.trim().to_owned() });
            }
        } else {
            let place = |(path, message): (String, String)| Finding { line: document.line_of(&path), message };
            found.extend(fields.into_iter().map(place));
        }
    }
    found
}

/// `… yaml: line 3: did not find …`: the line counts from the start of its document.
fn yaml_error(line: &str, documents: &[Document]) -> Option<Finding> {
    let lower = line.to_ascii_lowercase();
    if !lower.contains("yaml") {
        return None;
    }
    let at = lower.find("line ")? + 5;
    let digits: String = lower[at..].chars().take_while(char::is_ascii_digit).collect();
    let number: usize = digits.parse().ok()?;
    let first = if documents.len() == 1 { documents[0].first_line } else { 1 };
    Some(Finding { line: first + number.saturating_sub(1), message: line.trim().to_owned() })
}

/// The document that a message names, as in `The Deployment "web" is invalid` or `Deployment in version "v1"`.
fn named(line: &str, documents: &[Document]) -> Option<usize> {
    documents.iter().position(|document| {
        let kind = document.value("kind").unwrap_or_default();
        let name = document.value("metadata.name").unwrap_or_default();
        !kind.is_empty() && line.contains(kind) && (line.contains(&format!("\"{name}\"")) || line.contains("in version"))
    })
}

/// The fields a message is about, each with its message.
fn fields(line: &str) -> Vec<(String, String)> {
    if let Some((_, list)) = line.split_once("strict decoding error: ") {
        let part = |part: &str| {
            let field = part.split('"').nth(1)?;
            Some((field.to_owned(), part.trim().to_owned()))
        };
        return list.split("\", ").filter_map(|piece| part(&format!("{}\"", piece.trim_end_matches('"')))).collect();
    }
    let rest = line.split_once("is invalid: ").map_or(line, |(_, rest)| rest).trim_start_matches(['*', ' ']);
    let Some((path, message)) = rest.split_once(": ") else { return Vec::new() };
    let plausible = !path.is_empty()
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "._-[]/\"".contains(c))
        && path.contains(['.', '[']);
    if plausible { vec![(path.to_owned(), message.to_owned())] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: web
---
# A comment.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web # the name
spec:
  replicas: -1
  template:
    spec:
      containers:
      - name: a
        image: x
      - name: b
        ports:
          - containerPort: 80
";

    #[test]
    fn places() {
        let documents = documents(TEXT);
        assert_eq!(documents.len(), 2);
        let cases = [
            ("spec.replicas", 12),
            ("spec.template.spec.containers[0].image", 17),
            ("spec.template.spec.containers[1].name", 18),
            ("spec.template.spec.containers[1].ports[0].containerPort", 20),
            ("spec.template.spec.containers[1].image", 18),
            ("spec.selector", 11),
            ("unknown", 7),
        ];
        for (path, line) in cases {
            assert_eq!(documents[1].line_of(path), line, "{path}");
        }
        assert_eq!(documents[1].value("metadata.name"), Some("web"));
    }

    #[test]
    fn messages_find_their_lines() {
        let cases = [
            ("The Deployment \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0", vec![12]),
            (
                "The Deployment \"web\" is invalid: \n* spec.replicas: Invalid value: -1\n* spec.template.spec.containers[0].image: Required value",
                vec![12, 17],
            ),
            (
                "Error from server (BadRequest): error when creating \"m.yaml\": Deployment in version \"v1\" cannot be handled as a \
                 Deployment: strict decoding error: unknown field \"spec.template.spec.containers[0].foo\", unknown field \"spec.bar\"",
                vec![16, 11],
            ),
            ("error: error parsing m.yaml: error converting YAML to JSON: yaml: line 4: mapping values", vec![4]),
            ("Error from server (Forbidden): no", vec![1]),
            ("service/web created", vec![]),
        ];
        for (printed, lines) in cases {
            assert_eq!(findings(TEXT, printed).iter().map(|f| f.line).collect::<Vec<_>>(), lines, "{printed}");
        }
    }
}
