//! The image `wasmkube/http-echo`: an HTTP server that answers with what it was asked and by which pod.
//!
//! It listens on port 8080, or the one in `PORT`. `TEXT` replaces the answer's first line. `/healthz` answers `ok`, and
//! `/status/CODE` answers with that code, for trying out probes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// More than this of a request's head is refused.
const MAX_HEAD: u64 = 64 << 10;

fn main() -> std::io::Result<()> {
    let port: u16 = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on port {port}");
    for stream in listener.incoming() {
        // A client that goes away in the middle is its own affair.
        if let Err(error) = stream.and_then(answer) {
            println!("connection: {error}");
        }
    }
    Ok(())
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let peer = stream.peer_addr()?;
    let mut reader = BufReader::new((&stream).take(MAX_HEAD));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let request = request.trim_end();
    if request.is_empty() {
        return Ok(()); // A TCP probe.
    }
    let mut headers = String::new();
    while reader.read_line(&mut headers)? > 2 {}
    let path = request.split(' ').nth(1).unwrap_or("/");
    let code = path
        .strip_prefix("/status/")
        .and_then(|code| code.parse().ok())
        .filter(|code| (100..600).contains(code))
        .unwrap_or(200u16);
    let pod = std::env::var("HOSTNAME").unwrap_or_else(|_| "unknown".to_owned());
    let body = if path == "/healthz" {
        "ok\n".to_owned()
    } else {
        let text = std::env::var("TEXT").unwrap_or_else(|_| format!("Hello from {pod}"));
        format!("{text}\n{request}\n{}\n", headers.trim_end())
    };
    println!("{peer} {request} {code}");
    let mut stream = &stream;
    write!(
        stream,
        "HTTP/1.1 {code} {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        if code < 400 { "OK" } else { "Error" },
        body.len()
    )?;
    stream.flush()
}
