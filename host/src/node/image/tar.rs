//! Finds one file in a tar archive. Layers are only looked into, never unpacked.

const BLOCK: usize = 512;

/// The content of the last regular file whose path satisfies `wanted`.
pub fn find(archive: &[u8], wanted: impl Fn(&str) -> bool) -> Option<&[u8]> {
    let mut found = None;
    let mut rest = archive;
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        let size = octal(header.get(124..136)?)?;
        let content = after.get(..size)?;
        let name = text(header.get(..100)?);
        let prefix = if header.get(257..262) == Some(b"ustar") { text(header.get(345..500)?) } else { "" };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let regular = matches!(header.get(156), Some(b'0' | 0));
        if regular && wanted(path.trim_start_matches(['.', '/'])) {
            found = Some(content);
        }
        rest = after.get(size.checked_next_multiple_of(BLOCK)?..).unwrap_or_default();
    }
    found
}

fn text(field: &[u8]) -> &str {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    field.get(..end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or("")
}

fn octal(field: &[u8]) -> Option<usize> {
    usize::from_str_radix(text(field).trim(), 8).ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An archive of these files.
    pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, content) in files {
            let mut header = [0u8; BLOCK];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
            header[156] = b'0';
            out.extend_from_slice(&header);
            out.extend_from_slice(content);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
        out.resize(out.len() + 2 * BLOCK, 0);
        out
    }

    #[test]
    fn files_are_found() {
        let archive = archive(&[("./a.wasm", b"one"), ("b/c.wasm", b"two"), ("empty", b"")]);
        assert_eq!(find(&archive, |path| path == "a.wasm"), Some(&b"one"[..]));
        assert_eq!(find(&archive, |path| path == "b/c.wasm"), Some(&b"two"[..]));
        assert_eq!(find(&archive, |path| path == "empty"), Some(&b""[..]));
        assert_eq!(find(&archive, |path| path == "d"), None);
        for end in 0..archive.len() {
            find(&archive[..end], |path| path == "b/c.wasm");
        }
    }
}
