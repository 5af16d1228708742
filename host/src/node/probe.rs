//! Probes and hooks over the network, in the words of Kubernetes' kubelet.

use std::time::Duration;

use anyhow::{Result, bail};
use kubelet::io::{Check, ProbeResult};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// More than this of an answer is not read.
const MAX_ANSWER: u64 = 10 << 10;

/// Makes one check.
pub async fn check(check: &Check, timeout: Duration) -> ProbeResult {
    match check {
        Check::HttpGet { tls: true, .. } => ProbeResult::Error("HTTPS probes are not supported by this node yet".to_owned()),
        Check::HttpGet { host, port, path, headers, .. } => {
            let url = format!("http://{}:{port}{path}", bracketed(host));
            match tokio::time::timeout(timeout, get(host, *port, path, headers)).await {
                Err(_) => ProbeResult::Failure(format!(
                    "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                )),
                Ok(Err(error)) => ProbeResult::Failure(format!("Get {url:?}: {error:#}")),
                Ok(Ok(code)) if (200..400).contains(&code) => ProbeResult::Success,
                Ok(Ok(code)) => ProbeResult::Failure(format!("HTTP probe failed with statuscode: {code}")),
            }
        }
        Check::TcpSocket { host, port } => match tokio::time::timeout(timeout, connect(host, *port)).await {
            Err(_) => ProbeResult::Failure(format!("dial tcp {}:{port}: i/o timeout", bracketed(host))),
            Ok(Err(error)) => ProbeResult::Failure(format!("{error:#}")),
            Ok(Ok(_)) => ProbeResult::Success,
        },
        Check::Sleep { seconds } => {
            tokio::time::sleep(Duration::from_secs(*seconds)).await;
            ProbeResult::Success
        }
        Check::Exec(_) => ProbeResult::Error("a WASI container has no other programs to run: exec is not supported".to_owned()),
        Check::Grpc { .. } => ProbeResult::Error("gRPC probes are not supported by this node yet".to_owned()),
        Check::Impossible(why) => ProbeResult::Failure(why.clone()),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream> {
    match TcpStream::connect((host, port)).await {
        Ok(stream) => Ok(stream),
        Err(error) => {
            let what = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
                _ => error.to_string(),
            };
            bail!("dial tcp {}:{port}: {what}", bracketed(host))
        }
    }
}

/// The status code of the answer.
async fn get(host: &str, port: u16, path: &str, headers: &[(String, String)]) -> Result<u16> {
    let mut stream = connect(host, port).await?;
    let mut request = format!("GET {path} HTTP/1.1\r\n");
    let has = |name: &str| headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if !has("host") {
        request += &format!("Host: {}:{port}\r\n", bracketed(host));
    }
    if !has("user-agent") {
        request += "User-Agent: kube-probe/1.35\r\n";
    }
    if !has("accept") {
        request += "Accept: */*\r\n";
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "Connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.trim().parse().ok()) {
        Some(code) => Ok(code),
        None if line.is_empty() => bail!("EOF"),
        None => bail!("malformed HTTP response {:?}", line.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that gives this answer once.
    async fn serve(answer: &'static str) -> u16 {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        port
    }

    #[tokio::test]
    async fn http() {
        let cases = [
            ("HTTP/1.1 200 OK\r\n\r\n", ProbeResult::Success),
            ("HTTP/1.1 302 Found\r\n\r\n", ProbeResult::Success),
            ("HTTP/1.0 500 No\r\n\r\n", ProbeResult::Failure("HTTP probe failed with statuscode: 500".to_owned())),
        ];
        for (answer, want) in cases {
            let port = serve(answer).await;
            let wish = Check::HttpGet { tls: false, host: "127.0.0.1".into(), port, path: "/".into(), headers: Vec::new() };
            assert_eq!(check(&wish, Duration::from_secs(5)).await, want, "{answer}");
        }
    }

    #[tokio::test]
    async fn refused() {
        let wish = Check::TcpSocket { host: "127.0.0.1".into(), port: 1 };
        let want = ProbeResult::Failure("dial tcp 127.0.0.1:1: connect: connection refused".to_owned());
        assert_eq!(check(&wish, Duration::from_secs(5)).await, want);
    }
}
