//! Bearer tokens that somebody else gave out: kube-apiserver's `--token-auth-file`.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file>

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use cluster::wire::StaticToken;

/// Reads lines of `token,user,uid` with the user's groups, if any, as one quoted column behind: `"group1,group2"`.
pub fn read(path: &Path) -> Result<Vec<StaticToken>> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &[u8]) -> Result<Vec<StaticToken>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).comment(Some(b'#')).trim(csv::Trim::All).from_reader(text);
    let mut tokens: Vec<StaticToken> = Vec::new();
    for (at, line) in reader.records().enumerate() {
        let line = line?;
        ensure!(line.len() >= 3, "line {}: token, user name and uid are needed, not {} columns", at + 1, line.len());
        let column = |at: usize| line.get(at).unwrap_or_default().to_owned();
        let (token, user, uid) = (column(0), column(1), column(2));
        ensure!(!token.is_empty(), "line {}: the token is empty", at + 1);
        ensure!(!tokens.iter().any(|known| known.token == token), "line {}: the token is there already", at + 1);
        let groups = column(3).split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect();
        tokens.push(StaticToken { token, user, uid, groups });
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let tokens = parse(b"# comment\nabc,jane,7,\"devs, ops\"\ndef,joe,8\n").unwrap();
        let shown: Vec<_> =
            tokens.iter().map(|t| (t.token.as_str(), t.user.as_str(), t.uid.as_str(), t.groups.join(" "))).collect();
        assert_eq!(shown, [("abc", "jane", "7", "devs ops".to_owned()), ("def", "joe", "8", String::new())]);
        for wrong in ["abc,jane\n", ",jane,7\n", "a,b,c\na,d,e\n"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(parse(b"\xff\xfe,a,b\n").is_err(), "no text");
    }
}
