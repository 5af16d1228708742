//! The HTTP edge: bytes in, bytes out. route → identify → decode → the operation → encode.

mod route;

use object::{ApiError, Bytes, Result, Time, Value};

use crate::identity;
use crate::message::{Output, Request};
use crate::server::ApiServer;
use crate::write::{DeleteOptions, PatchKind, Target, WriteOptions};
use route::Route;

impl ApiServer {
    /// Answers a request from outside. What is to be sent is in [`ApiServer::take_outputs`].
    pub fn handle(&mut self, now: Time, request: Request) {
        let (status, body) = match self.answer(now, &request) {
            Ok((status, body)) => (status, body),
            Err(error) => (error.code, Bytes::from(error.to_status().to_string())),
        };
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        self.outputs.push(Output::Respond { stream: request.stream, status, headers, body });
    }

    fn answer(&mut self, now: Time, request: &Request) -> Result<(u16, Bytes)> {
        let user = identity::authenticate(request, &self.settings.tokens)?;
        let route = Route::parse(&request.target);
        let Route::Resource { gvr, namespace, name, subresource } = route else { return Err(ApiError::no_such_path()) };
        let target = Target::new(self.resource(&gvr)?, &namespace, &name, &subresource);
        let options = WriteOptions::default();
        let body = || -> Result<Value> {
            serde_json::from_slice(&request.body).map_err(|e| ApiError::bad_request(format!("invalid JSON: {e}")))
        };
        let done = match (request.method.as_str(), name.is_empty()) {
            ("GET", false) => return Ok((200, self.stored(&target)?.bytes.clone())),
            ("GET", true) => return Ok((200, self.list(&target))),
            ("POST", _) => (201, self.create(now, &user, &target, body()?, &options)?),
            ("PUT", false) => (200, self.update(now, &user, &target, body()?, &options)?),
            ("PATCH", false) => {
                let kind = match identity::header(request, "content-type") {
                    Some("application/json-patch+json") => PatchKind::Json,
                    Some("application/strategic-merge-patch+json") => PatchKind::Strategic,
                    _ => PatchKind::Merge,
                };
                (200, self.patch(now, &user, &target, kind, body()?, &options)?)
            }
            ("DELETE", false) => (200, self.delete(now, &user, &target, &DeleteOptions::default())?),
            _ => return Err(ApiError::method_not_allowed()),
        };
        Ok((done.0, Bytes::from(done.1.to_string())))
    }

    /// A list is its items' bytes, one after another.
    fn list(&self, target: &Target) -> Bytes {
        let resource = &target.resource;
        let namespace = (!target.namespace.is_empty()).then_some(target.namespace.as_str());
        let mut out = format!(
            "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{{\"resourceVersion\":\"{}\"}},\"items\":[",
            resource.list_kind,
            resource.kind.api_version(),
            self.store.revision()
        )
        .into_bytes();
        for (i, object) in self.store.list(&resource.storage.resource, namespace).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&object.bytes);
        }
        out.extend_from_slice(b"]}");
        Bytes::from(out)
    }
}
