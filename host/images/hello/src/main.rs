//! The image `wasmkube/hello`: says what it is told and where it runs, and ends well.
//!
//! `--get http://web.default/path` asks another pod or Service instead, and says what it answered.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--get", url] => match get(url) {
            Ok(answer) => println!("{answer}"),
            Err(error) => {
                eprintln!("{url}: {error}");
                return ExitCode::FAILURE;
            }
        },
        words => {
            println!("{}", if words.is_empty() { "Hello from WebAssembly".to_owned() } else { words.join(" ") });
            for (name, value) in std::env::vars() {
                println!("{name}={value}");
            }
        }
    }
    ExitCode::SUCCESS
}

/// The answer to a plain HTTP request, head and body.
fn get(url: &str) -> std::io::Result<String> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = TcpStream::connect(&address)?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
