//! Servers outside as the host reaches them: a webhook and an aggregated API over real TLS, and a connection that is upgraded.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wasmkube::client::{self, Client};
use wasmkube::install::Install;
use wasmkube::server::{Options, Server};

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn start(dir: &Dir) -> Result<Server> {
    Server::start(Options::passing(dir.0.clone(), Install::at(dir.0.join("home")))).await
}

/// A server that is a webhook at `/admit`, an API group elsewhere, and says everything twice on an upgraded connection.
struct Outside {
    at: SocketAddr,
    certificate: String,
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl Outside {
    async fn start() -> Result<Self> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let tls = rustls::ServerConfig::builder_with_provider(client::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(client::certificates(&certificate)?, client::private_key(&key)?)?;
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let at = listener.local_addr()?;
        let seen = Arc::<Mutex<Vec<(String, String)>>>::default();
        let noted = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, noted) = (tls.clone(), noted.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(request, noted.clone()));
                    let http = hyper::server::conn::http1::Builder::new();
                    drop(http.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
                });
            }
        });
        Ok(Outside { at, certificate, seen })
    }

    fn seen(&self) -> Vec<(String, String)> {
        self.seen.lock().expect("nobody panicked").clone()
    }
}

async fn answer(mut request: Request<Incoming>, noted: Arc<Mutex<Vec<(String, String)>>>) -> Result<Response<Full<Bytes>>> {
    let path = request.uri().path().to_owned();
    let user = request.headers().get("x-remote-user").and_then(|user| user.to_str().ok()).unwrap_or_default().to_owned();
    noted.lock().expect("nobody panicked").push((path.clone(), user));
    if request.headers().contains_key("upgrade") {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else { return };
            let mut io = TokioIo::new(upgraded);
            let mut word = [0; 5];
            while io.read_exact(&mut word).await.is_ok() && io.write_all(&[word, word].concat()).await.is_ok() {}
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", "Upgrade".parse()?);
        response.headers_mut().insert("upgrade", "twice".parse()?);
        return Ok(response);
    }
    let body = match path.as_str() {
        "/admit" => {
            let review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
            let object = &review["request"]["object"];
            let allowed = object["data"]["key"] != "wrong";
            let patch = base64::engine::general_purpose::STANDARD.encode(r#"[{"op":"add","path":"/data/seen","value":"yes"}]"#);
            let mut response = json!({"uid": review["request"]["uid"], "allowed": allowed});
            if allowed {
                response["patchType"] = json!("JSONPatch");
                response["patch"] = json!(patch);
            }
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
        }
        "/apis/weather.example.com/v1" => {
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "weather.example.com/v1",
            "resources": [{"name": "reports", "singularName": "report", "namespaced": false, "kind": "Report", "verbs": ["get"]}]})
        }
        _ => json!({"kind": "Report", "apiVersion": "weather.example.com/v1", "metadata": {"name": "today"}, "rain": false}),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    response.headers_mut().insert("content-type", "application/json".parse()?);
    Ok(response)
}

fn dir(name: &str) -> Dir {
    Dir(std::env::temp_dir().join(format!("wasmkube-outside-{name}-{}", std::process::id())))
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str, data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": data}})
}

#[tokio::test]
async fn a_webhook_changes_and_refuses_over_tls() -> Result<()> {
    let dir = dir("webhook");
    let server = start(&dir).await?;
    let outside = Outside::start().await?;
    let client = Client::new(&server.admin)?;
    let hook = |name: &str, bundle: &str, operations: &[&str]| {
        let bundle = base64::engine::general_purpose::STANDARD.encode(bundle);
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": name},
            "webhooks": [{"name": format!("{name}.example.com"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("https://localhost:{}/admit", outside.at.port()), "caBundle": bundle},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": operations, "resources": ["configmaps"]}]}]})
    };
    let hooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    client.json(Method::POST, hooks, &hook("good", &outside.certificate, &["CREATE"])).await?;
    let made = client.json(Method::POST, CONFIG_MAPS, &config_map("one", "right")).await?;
    ensure!(made["data"]["seen"] == "yes", "{made}");
    let refused = client.json(Method::POST, CONFIG_MAPS, &config_map("two", "wrong")).await.expect_err("refused");
    ensure!(refused.to_string() == "admission webhook \"good.example.com\" denied the request without explanation", "{refused}");

    // A server whose certificate nobody vouches for is not believed.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?.cert.pem();
    client.json(Method::POST, hooks, &hook("bad", &other, &["UPDATE"])).await?;
    let path = format!("{CONFIG_MAPS}/one");
    let failed = client.json(Method::PUT, &path, &config_map("one", "right")).await.expect_err("cannot be asked");
    ensure!(failed.to_string().contains("failed calling webhook \"bad.example.com\": failed to call webhook"), "{failed}");
    ensure!(failed.to_string().contains("tls: failed to verify certificate: x509"), "{failed}");
    server.stop().await
}

#[tokio::test]
async fn an_aggregated_api_answers_and_may_upgrade() -> Result<()> {
    let dir = dir("aggregated");
    let server = start(&dir).await?;
    let outside = Outside::start().await?;
    let client = Client::new(&server.admin)?;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "weather"},
        "spec": {"type": "ExternalName", "externalName": "localhost"}});
    client.json(Method::POST, "/api/v1/namespaces/default/services", &service).await?;
    let api = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.weather.example.com"},
        "spec": {"group": "weather.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true,
            "service": {"namespace": "default", "name": "weather", "port": outside.at.port()}}});
    client.json(Method::POST, "/apis/apiregistration.k8s.io/v1/apiservices", &api).await?;
    let report = "/apis/weather.example.com/v1/reports/today";
    let mut answered = client.json(Method::GET, report, &Value::Null).await;
    for _ in 0..100 {
        if answered.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        answered = client.json(Method::GET, report, &Value::Null).await;
    }
    ensure!(answered?["kind"] == "Report");
    let groups = client.json(Method::GET, "/apis", &Value::Null).await?;
    ensure!(groups["groups"].as_array().is_some_and(|all| all.iter().any(|group| group["name"] == "weather.example.com")));
    ensure!(outside.seen().contains(&(report.to_owned(), "kubernetes-admin".to_owned())), "{:?}", outside.seen());

    let one = Client::new_http1(&server.admin)?;
    let headers = [("connection", "Upgrade"), ("upgrade", "twice")];
    let mut response = one.send(Method::GET, &format!("{report}/console"), &headers, Bytes::new()).await?;
    ensure!(response.status() == StatusCode::SWITCHING_PROTOCOLS, "{response:?}");
    let mut io = TokioIo::new(hyper::upgrade::on(&mut response).await.context("the client's side")?);
    for _ in 0..2 {
        io.write_all(b"hello").await?;
        let mut said = [0; 10];
        io.read_exact(&mut said).await?;
        ensure!(&said == b"hellohello");
    }
    drop(io);
    server.stop().await
}
