//! Images in an OCI layout directory: the CNCF layout for WebAssembly (`application/wasm` layers), the Bytecode Alliance's
//! component layers, and ordinary images from scratch that hold one `.wasm` file.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{Config, MAX_WASM, Source, read, tar};

/// Layers that are a program as they stand.
const PROGRAMS: [&str; 4] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
];
/// An index may point to an index, but not for ever.
const MAX_DEPTH: u32 = 3;

/// Splits `/directory:tag`.
pub fn split_tag(path: &Path) -> (PathBuf, Option<String>) {
    match path.to_str().and_then(|text| text.rsplit_once(':')) {
        Some((directory, tag)) if !tag.contains('/') && !path.exists() => (directory.into(), Some(tag.to_owned())),
        _ => (path.to_path_buf(), None),
    }
}

/// `sha256:` and the digest of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", super::hex_digest(bytes))
}

/// Loads the program of an image.
pub(super) fn load(directory: &Path, tag: Option<&str>) -> Result<Source> {
    ensure!(directory.join("oci-layout").is_file(), "{} is neither a file nor an OCI layout", directory.display());
    let layout = Layout { directory };
    let index = json(&read(&directory.join("index.json"))?)?;
    let manifest = layout.manifest(&index, tag, 0)?;
    let config = manifest.get("config").map(|config| layout.blob(config)).transpose()?;
    let config = config.and_then(|bytes| json(&bytes).ok()).map(|config| run_config(&config)).unwrap_or_default();
    let wasm = layout.program(&manifest, &config)?;
    Ok(Source { wasm, config, compiled: None })
}

struct Layout<'a> {
    directory: &'a Path,
}

impl Layout<'_> {
    /// Follows the index to the one manifest that is meant.
    fn manifest(&self, index: &Value, tag: Option<&str>, depth: u32) -> Result<Value> {
        ensure!(depth < MAX_DEPTH, "its index is nested too deeply");
        let all = index.get("manifests").and_then(Value::as_array).context("its index lists no manifests")?;
        let tagged = |entry: &&Value| match tag {
            Some(tag) => entry.pointer("/annotations/org.opencontainers.image.ref.name").and_then(Value::as_str) == Some(tag),
            None => true,
        };
        let candidates: Vec<&Value> = all.iter().filter(tagged).collect();
        let is_wasm = |entry: &&&Value| {
            entry.pointer("/platform/architecture").and_then(Value::as_str).is_some_and(|arch| arch.starts_with("wasm"))
        };
        let entry = candidates.iter().find(is_wasm).or(candidates.first()).copied();
        let entry = entry.with_context(|| format!("it has no image tagged {:?}", tag.unwrap_or("")))?;
        let manifest = json(&self.blob(entry)?)?;
        if manifest.get("manifests").is_some() { self.manifest(&manifest, None, depth + 1) } else { Ok(manifest) }
    }

    fn program(&self, manifest: &Value, config: &Config) -> Result<Vec<u8>> {
        let layers = manifest.get("layers").and_then(Value::as_array).context("its manifest has no layers")?;
        let media = |layer: &Value| layer.get("mediaType").and_then(Value::as_str).unwrap_or("").to_owned();
        if let Some(layer) = layers.iter().find(|layer| PROGRAMS.contains(&media(layer).as_str())) {
            return self.blob(layer);
        }
        // An ordinary image: later layers lie over earlier ones.
        let wanted = config.entrypoint.first().map(|path| path.trim_start_matches(['.', '/']));
        for layer in layers.iter().rev() {
            let bytes = self.blob(layer)?;
            let bytes = if bytes.starts_with(&[0x1f, 0x8b]) { gunzip(&bytes)? } else { bytes };
            if let Some(program) = tar::find(&bytes, |path| path.ends_with(".wasm") && wanted.is_none_or(|wanted| wanted == path))
            {
                return Ok(program.to_vec());
            }
        }
        let found: Vec<String> = layers.iter().map(media).collect();
        bail!("it holds no WebAssembly program (its layers are {})", found.join(", "))
    }

    /// Reads what a descriptor names, and holds it to its digest.
    fn blob(&self, descriptor: &Value) -> Result<Vec<u8>> {
        let want = descriptor.get("digest").and_then(Value::as_str).context("a descriptor without a digest")?;
        let hex = want.strip_prefix("sha256:").with_context(|| format!("digest {want:?} is not sha256"))?;
        ensure!(hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{want:?} is not a digest");
        let bytes = read(&self.directory.join("blobs/sha256").join(hex))?;
        ensure!(digest(&bytes) == want, "blob {want} has another digest");
        Ok(bytes)
    }
}

fn json(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).context("it is not JSON")
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).take(MAX_WASM).read_to_end(&mut out).context("a layer is not gzip")?;
    Ok(out)
}

fn run_config(config: &Value) -> Config {
    let strings = |name: &str| -> Vec<String> {
        let list = config.pointer(&format!("/config/{name}")).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let working_dir = config.pointer("/config/WorkingDir").and_then(Value::as_str).unwrap_or("").to_owned();
    Config { entrypoint: strings("Entrypoint"), cmd: strings("Cmd"), env: strings("Env"), working_dir }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// Writes an image of one layer and returns its directory.
    fn image(name: &str, media: &str, layer: &[u8], config: &Value) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("wasmkube-oci-{}-{name}", std::process::id()));
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        let put = |bytes: &[u8], media: &str| {
            let id = digest(bytes);
            fs::write(dir.join("blobs/sha256").join(&id[7..]), bytes).unwrap();
            json!({"mediaType": media, "digest": id, "size": bytes.len()})
        };
        let layer = put(layer, media);
        let config = put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
        let mut manifest = put(json!({"config": config, "layers": [layer]}).to_string().as_bytes(), "manifest");
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
        fs::write(dir.join("index.json"), json!({"manifests": [manifest]}).to_string()).unwrap();
        fs::write(dir.join("oci-layout"), "{\"imageLayoutVersion\": \"1.0.0\"}").unwrap();
        dir
    }

    #[test]
    fn layouts_are_read() {
        let config = json!({"config": {"Entrypoint": ["/app.wasm"], "Env": ["A=b"]}});
        let tarred = tar::tests::archive(&[("etc/x", b"no"), ("app.wasm", b"\0asm")]);
        for (name, media, layer) in [
            ("plain", "application/wasm", b"\0asm".to_vec()),
            ("component", "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm", b"\0asm".to_vec()),
            ("scratch", "application/vnd.oci.image.layer.v1.tar", tarred),
        ] {
            let dir = image(name, media, &layer, &config);
            let source = load(&dir, Some("v1")).unwrap();
            assert_eq!(source.wasm, b"\0asm", "{name}");
            assert_eq!(source.config.env, ["A=b"], "{name}");
            assert!(load(&dir, Some("v2")).is_err(), "{name}: a tag that is not there");
            fs::remove_dir_all(dir).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let dir = image("empty", "application/json", b"{}", &json!({}));
        let error = load(&dir, None).err().unwrap().to_string();
        assert_eq!(error, "it holds no WebAssembly program (its layers are application/json)");
        let blobs: Vec<_> = fs::read_dir(dir.join("blobs/sha256")).unwrap().flatten().collect();
        blobs.iter().for_each(|blob| fs::write(blob.path(), b"changed").unwrap());
        assert!(load(&dir, None).err().unwrap().to_string().ends_with("has another digest"));
        fs::remove_dir_all(dir).unwrap();
    }
}
