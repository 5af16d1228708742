//! The program `wasmkube`.

fn main() -> std::process::ExitCode {
    wasmkube::cli::main()
}
