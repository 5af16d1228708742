//! Builds what a browser gets: the core's wasm with its worker (browser/) and the playground's page (web/); and runs
//! the tests in a real browser (tests/browser).
//!
//! Needs Node.js with npm for esbuild and the page's libraries; everything else is a Rust library. What is served
//! below `assets/` has a hash of its content in its directory's name and may be kept for ever.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell::{self, cargo, run};

/// `cargo xtask web [--dev]`.
pub fn command(arguments: &[String]) -> Result<()> {
    let release = match arguments {
        [] => true,
        [flag] if flag == "--dev" => false,
        _ => bail!("usage: cargo xtask web [--dev]"),
    };
    let out = shell::dist().join("web");
    build(&out, release)?;
    println!("{}", out.display());
    Ok(())
}

/// Builds the page into `out_dir` (made anew) and the npm package into `npm` beside it. Without `release` the wasm is
/// not optimized for size and nothing is compressed: for working on the page.
pub fn build(out_dir: &Path, release: bool) -> Result<()> {
    let build = Build { root: shell::root(), stage: shell::target().join("web-stage"), release };
    fs::create_dir_all(&build.stage)?;
    build.install_npm()?;
    build.bindgen("wasmkube-browser", "wasmkube_browser", "browser", "core")?;
    build.bindgen("wasmkube-web", "wasmkube-web", "web", "app")?;
    build.check_types()?;
    build.bundle_core()?;
    build.bundle_page()?;
    build.assemble(out_dir)?;
    build.npm_package(&out_dir.with_file_name("npm"))
}

/// Runs tests/browser in Chromium against the page in `page_dir`, with Node's test runner.
pub fn browser_test(page_dir: &Path) -> Result<()> {
    ensure!(page_dir.join("index.html").exists(), "{} holds no page: run `cargo xtask web` first", page_dir.display());
    let mut tests = files(&shell::root().join("tests/browser"))?;
    tests.retain(|path| path.to_string_lossy().ends_with(".test.mjs"));
    tests.sort();
    let traces = shell::target().join("traces");
    run(cargo(["run", "--quiet", "-p", "wasmkube-cluster", "--example", "demo_trace", "--"]).arg(&traces))?;
    let mut node = Command::new("node");
    node.args(["--test", "--test-concurrency=1"]).args(tests).current_dir(shell::root());
    run(node.env("PAGE_DIR", page_dir).env("TRACE_DIR", traces))
}

/// What stands between the rough output of the compiler and what is served.
struct Build {
    /// The repository.
    root: PathBuf,
    /// Working directory: wasm-bindgen's and esbuild's outputs.
    stage: PathBuf,
    /// Small and slow to build, or quick and large.
    release: bool,
}

impl Build {
    /// `npm ci` in web/, when what is installed is not what the lock file says.
    fn install_npm(&self) -> Result<()> {
        let web = self.root.join("web");
        let wanted = fs::read(web.join("package-lock.json"))?;
        let stamp = web.join("node_modules/.wasmkube-lock");
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        run(Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&web))
        .context("the page's libraries could not be installed (is Node.js with npm there?)")?;
        Ok(fs::write(stamp, wanted)?)
    }

    /// Compiles `package` to wasm and makes `<stage>/<name>/<name>{.js,_bg.wasm}` of it.
    fn bindgen(&self, package: &str, artifact: &str, profile: &str, name: &str) -> Result<()> {
        let profile = if self.release { profile } else { "dev" };
        let target = ["--target", "wasm32-unknown-unknown", "--profile", profile];
        run(cargo(["build", "--quiet", "--package", package]).args(target))?;
        let directory = if self.release { profile } else { "debug" };
        let wasm = shell::target().join("wasm32-unknown-unknown").join(directory).join(format!("{artifact}.wasm"));
        let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
        bindgen.input_path(&wasm).out_name(name).web(true)?.typescript(true);
        bindgen.remove_name_section(self.release).remove_producers_section(true);
        bindgen.generate(self.stage.join(name)).with_context(|| format!("wasm-bindgen on {}", wasm.display()))?;
        Ok(())
    }

    /// TypeScript's compiler only checks; esbuild is what makes JavaScript of it.
    fn check_types(&self) -> Result<()> {
        let web = self.root.join("web");
        let config = serde_json::json!({
            "extends": web.join("tsconfig.json"),
            "include": [web.join("js"), self.root.join("browser/js")],
            "compilerOptions": {"paths": {
                "wasmkube-core": [self.stage.join("core/core.d.ts")],
                "wasmkube-app": [self.stage.join("app/app.d.ts")],
            }},
        });
        let file = self.stage.join("tsconfig.json");
        fs::write(&file, config.to_string())?;
        run(Command::new(web.join("node_modules/.bin/tsc")).arg("--project").arg(file))
    }

    /// browser/js and the core's bindings into one module for the page and one for the worker.
    fn bundle_core(&self) -> Result<()> {
        let js = self.root.join("browser/js");
        let out = self.stage.join("core-bundle");
        remake(&out)?;
        let mut esbuild = self.esbuild(&out);
        esbuild.arg(js.join("index.ts")).arg(js.join("worker.ts"));
        esbuild.arg(format!("--alias:wasmkube-core={}", self.stage.join("core/core.js").display()));
        run(&mut esbuild)?;
        fs::copy(self.stage.join("core/core_bg.wasm"), out.join("core.wasm"))?;
        Ok(())
    }

    /// web/js, the page's bindings and its libraries; terminal and editor are chunks that load when they are shown.
    fn bundle_page(&self) -> Result<()> {
        let js = self.root.join("web/js");
        let out = self.stage.join("page-bundle");
        remake(&out)?;
        let mut esbuild = self.esbuild(&out);
        esbuild.args(["--splitting", "--chunk-names=[name]-[hash]"]).arg(js.join("boot.ts"));
        // wasm-bindgen names a module once for every use of it.
        esbuild.arg("--log-override:duplicate-object-key=silent");
        esbuild.arg(format!("--alias:wasmkube-app={}", self.stage.join("app/app.js").display()));
        esbuild.arg(format!("--alias:wasmkube-page={}", js.join("page.ts").display()));
        run(&mut esbuild)?;
        let mut css = self.esbuild(&out);
        run(css.arg(self.root.join("web/css/page.css")))?;
        fs::copy(self.stage.join("app/app_bg.wasm"), out.join("app.wasm"))?;
        Ok(())
    }

    fn esbuild(&self, out: &Path) -> Command {
        let modules = self.root.join("web/node_modules");
        let mut command = Command::new(modules.join(".bin/esbuild"));
        command.args(["--bundle", "--format=esm", "--target=es2022", "--log-level=warning"]);
        command.arg(format!("--outdir={}", out.display())).env("NODE_PATH", &modules);
        if self.release {
            command.arg("--minify");
        }
        command
    }

    /// Puts hashed directories and index.html into `out_dir`, and a brotli twin beside every file.
    fn assemble(&self, out_dir: &Path) -> Result<()> {
        remake(out_dir)?;
        let core = self.publish(&self.stage.join("core-bundle"), out_dir, "core")?;
        let app = self.publish(&self.stage.join("page-bundle"), out_dir, "app")?;
        let index = fs::read_to_string(self.root.join("web/index.html"))?;
        fs::write(out_dir.join("index.html"), index.replace("{{core}}", &core).replace("{{app}}", &app))?;
        if self.release {
            compress_tree(out_dir)?;
        }
        Ok(())
    }

    /// Copies `from` to `<out_dir>/assets/<name>-<hash>` and gives that path as the page writes it.
    fn publish(&self, from: &Path, out_dir: &Path, name: &str) -> Result<String> {
        let mut paths = files(from)?;
        paths.sort();
        let mut hash = 0xcbf2_9ce4_8422_2325;
        for path in &paths {
            hash = fnv1a(hash, path.file_name().unwrap_or_default().as_encoded_bytes());
            hash = fnv1a(hash, &fs::read(path)?);
        }
        let place = format!("assets/{name}-{hash:016x}");
        fs::create_dir_all(out_dir.join(&place))?;
        for path in paths {
            fs::copy(&path, out_dir.join(&place).join(path.file_name().unwrap_or_default()))?;
        }
        Ok(place)
    }

    /// The package for npm: browser/npm and the built parts.
    fn npm_package(&self, out: &Path) -> Result<()> {
        remake(out)?;
        for path in files(&self.root.join("browser/npm"))?.into_iter().chain(files(&self.stage.join("core-bundle"))?) {
            fs::copy(&path, out.join(path.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }
}

/// FNV-1a: names files by content, guards nothing.
fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Compresses every file below `dir` and prints what a visitor downloads.
fn compress_tree(dir: &Path) -> Result<()> {
    for path in files(dir)? {
        let plain = fs::read(&path)?;
        let mut packed = Vec::new();
        {
            let mut writer = brotli::CompressorWriter::new(&mut packed, 1 << 16, 11, 24);
            writer.write_all(&plain)?;
        }
        let mut twin = path.clone().into_os_string();
        twin.push(".br");
        fs::write(&twin, &packed)?;
        let shown = path.strip_prefix(dir).unwrap_or(&path);
        println!("  {:>9} B  {:>9} B brotli  {}", plain.len(), packed.len(), shown.display());
    }
    Ok(())
}

/// All files below `dir`.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    Ok(found)
}

fn remake(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    Ok(fs::create_dir_all(dir)?)
}
