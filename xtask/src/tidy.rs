//! House rules that neither rustfmt nor clippy knows: every module opens with `//!`, files stay readable, core crates
//! hold their lines, and nothing of a developer's machine gets in.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::shell::root;

/// Lines after which a source file holds more than one concept.
const MOST_LINES: usize = 900;

/// Looks at every source file; reports all findings at once.
pub fn run() -> Result<()> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    let mut findings = Vec::new();
    for file in &files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        let name = file.strip_prefix(&root).unwrap_or(file).display().to_string();
        check(&name, &text, &mut findings);
    }
    if !findings.is_empty() {
        bail!("{} findings:\n  {}", findings.len(), findings.join("\n  "));
    }
    println!("tidy: {} files", files.len());
    Ok(())
}

fn check(name: &str, text: &str, findings: &mut Vec<String>) {
    if name.ends_with(".rs") {
        if !text.trim_start().starts_with("//!") {
            findings.push(format!("{name}: does not open with `//!` (what lives here, what may not)"));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            findings.push(format!("{name}: {lines} lines; split it (more than {MOST_LINES} hold more than one concept)"));
        }
        let core_root = name.starts_with("core/") && name.ends_with("src/lib.rs");
        if core_root && !(text.contains("#![forbid(unsafe_code)]") && text.contains("clippy::disallowed_methods")) {
            findings.push(format!("{name}: core crates forbid unsafe code and deny clippy's disallowed methods and types"));
        }
    }
    let machine_paths =
        [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/tm", "p/w/"), concat!("/tm", "p/t/")];
    for path in machine_paths {
        if let Some(line) = text.lines().position(|l| l.contains(path)) {
            findings.push(format!("{name}:{}: a path of somebody's machine ({path})", line + 1));
        }
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !matches!(name.as_str(), "target" | "node_modules" | ".git") {
                collect(&path, files)?;
            }
        } else if [".rs", ".toml", ".md", ".mjs", ".js", ".ts", ".css", ".html", ".json", ".yaml", ".wit"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings() {
        let found = |name: &str, text: &str| {
            let mut findings = Vec::new();
            check(name, text, &mut findings);
            findings.len()
        };
        assert_eq!(found("xtask/src/a.rs", "//! Fine.\n"), 0);
        assert_eq!(found("xtask/src/a.rs", "fn main() {}\n"), 1);
        assert_eq!(found("xtask/src/a.rs", &format!("//! Long.\n{}", "\n".repeat(MOST_LINES))), 1);
        assert_eq!(found("core/x/src/lib.rs", "//! No bans.\n"), 1);
        assert_eq!(found("README.md", concat!("see /ho", "me/me/x\n")), 1);
    }
}
