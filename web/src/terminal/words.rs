//! Splits a command line as a shell does, as far as one needs it here: quotes, backslashes and one `| grep`.

/// A command line, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// The command and its arguments.
    pub words: Vec<String>,
    /// Keep only lines that contain this (`| grep TEXT`).
    pub grep: Option<String>,
}

/// Takes a line apart; an error says what is not understood.
pub fn parse(text: &str) -> Result<Line, String> {
    let mut parts = split(text)?.into_iter();
    let words = parts.next().unwrap_or_default();
    let grep = match parts.next() {
        None => None,
        Some(filter) => match filter.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["grep", pattern] => Some(pattern.to_owned()),
            _ => return Err("only `| grep TEXT` is understood after a pipe".to_owned()),
        },
    };
    if parts.next().is_some() {
        return Err("only one pipe is understood".to_owned());
    }
    Ok(Line { words, grep })
}

/// Words between pipes.
fn split(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = text.chars();
    let finish = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>| {
        if let (Some(word), Some(command)) = (word.take(), commands.last_mut()) {
            command.push(word);
        }
    };
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (c, Some(_)) => word.get_or_insert_default().push(c),
            (c @ ('\'' | '"'), None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('|', None) => {
                finish(&mut word, &mut commands);
                commands.push(Vec::new());
            }
            ('>' | '<' | ';' | '&', None) => return Err(format!("`{letter}` is not understood here")),
            (c, None) if c.is_whitespace() => finish(&mut word, &mut commands),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("a closing {quote} is missing"));
    }
    finish(&mut word, &mut commands);
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let cases = [
            ("", words(&[]), None),
            ("kubectl  get pods", words(&["kubectl", "get", "pods"]), None),
            ("k get -o jsonpath='{.a b}'", words(&["k", "get", "-o", "jsonpath={.a b}"]), None),
            (r#"echo "a \" b" ''"#, words(&["echo", "a \" b", ""]), None),
            ("k get pods | grep web", words(&["k", "get", "pods"]), Some("web")),
        ];
        for (text, words, grep) in cases {
            assert_eq!(parse(text), Ok(Line { words, grep: grep.map(str::to_owned) }), "{text}");
        }
        for bad in ["a 'b", "a > b", "a | wc", "a | grep b | grep c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
