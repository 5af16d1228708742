//! Query parameters of requests on resources, with the messages Kubernetes gives where they make no sense.

use object::selector::{FieldSelector, LabelSelector};
use object::{ApiError, Cause, GroupVersionKind, Result, Value, json};

/// Decoded parameters, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part after `?`.
    pub fn parse(target: &str) -> Self {
        let text = target.split_once('?').map_or("", |(_, query)| query);
        let pairs = text.split('&').filter(|part| !part.is_empty());
        Query(pairs.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(k, v)| (decode(k), decode(v))).collect())
    }

    /// The first value of a parameter; empty where it is missing.
    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v)
    }

    /// Whether the parameter is there at all.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// A boolean: only what is absent, `false` and `0` are false.
    pub fn flag(&self, key: &str) -> bool {
        let value = self.get(key);
        self.has(key) && value != "0" && !value.eq_ignore_ascii_case("false")
    }

    /// A number; 400 in Go's words where it is none.
    pub fn number(&self, key: &str) -> Result<Option<i64>> {
        let text = self.get(key);
        if text.is_empty() {
            return Ok(None);
        }
        let syntax = || ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
        text.parse().map(Some).map_err(|_| syntax())
    }

    /// The label selector.
    pub fn labels(&self) -> Result<LabelSelector> {
        LabelSelector::parse(self.get("labelSelector")).map_err(ApiError::bad_request)
    }

    /// The field selector, as far as its syntax goes.
    pub fn fields(&self) -> Result<FieldSelector> {
        FieldSelector::parse(self.get("fieldSelector")).map_err(ApiError::bad_request)
    }

    /// `dryRun`: only `All` is known.
    pub fn dry_run(&self, options: &str) -> Result<bool> {
        let values: Vec<&str> = self.all("dryRun").collect();
        check_dry_run(&values, options)
    }
}

/// What `dryRun` may hold, in the query or in DeleteOptions.
pub fn check_dry_run(values: &[&str], options: &str) -> Result<bool> {
    let values: Vec<&str> = values.iter().copied().filter(|v| !v.is_empty()).collect();
    if values.iter().any(|v| *v != "All") {
        let shown: Value = json!(values);
        return Err(invalid_options(options, vec![Cause::not_supported("dryRun", &shown, &["All"])]));
    }
    Ok(!values.is_empty())
}

/// 422 about the options of a request, which have a kind of their own.
pub fn invalid_options(kind: &str, causes: Vec<Cause>) -> Box<ApiError> {
    ApiError::invalid(&GroupVersionKind::new("meta.k8s.io", "v1", kind), "", causes)
}

/// Percent-decoding with `+` as space; what is not valid stays as it is.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                i += 3;
            }
            (b'+', ..) => {
                out.push(b' ');
                i += 1;
            }
            (other, ..) => {
                out.push(other);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let query = Query::parse("/x?a=1&labelSelector=app%3Dweb%2Ctier%20in%20(x)&b&limit=x&watch=true&no=False&zero=0&odd=x");
        assert_eq!((query.get("a"), query.get("b"), query.get("none")), ("1", "", ""));
        assert_eq!(query.get("labelSelector"), "app=web,tier in (x)");
        let flags = ["watch", "b", "odd", "no", "zero", "missing"].map(|key| query.flag(key));
        assert_eq!(flags, [true, true, true, false, false, false]);
        assert_eq!(query.number("limit").unwrap_err().message, "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(Query::parse("/x?dryRun=Some").dry_run("CreateOptions").unwrap_err().code, 422);
    }
}
