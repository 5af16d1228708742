//! What the metrics APIs say, in thousandths: `metrics.k8s.io`, `custom.metrics.k8s.io` and `external.metrics.k8s.io`. All of
//! them are other servers' APIs.

use std::collections::BTreeMap;

use object::quantity::Quantity;
use object::selector::LabelSelector;
use object::value::{list_at, str_at};
use object::{ApiError, Result, Time, Value};

use crate::context::Context;

/// What one pod uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// In thousandths.
    pub value: i64,
    /// When it was measured...
    pub at: Time,
    /// ...and over how many seconds.
    pub window: u64,
}

/// Samples by the pods' names.
pub type Samples = BTreeMap<String, Sample>;

/// One minute, where an API does not say.
const WINDOW: u64 = 60;

fn missing(what: &str) -> Box<ApiError> {
    ApiError::bad_request(what)
}

/// The quantity at a key in thousandths.
fn milli(value: Option<&Value>) -> Option<i64> {
    value.and_then(Quantity::from_json).map(|quantity| quantity.milli_value())
}

fn encoded(selector: &LabelSelector) -> String {
    escaped(&selector.to_string())
}

fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// cpu or memory of pods; of one container of each if one is named.
pub fn resource(
    cx: &mut Context<'_>,
    resource: &str,
    namespace: &str,
    selector: &LabelSelector,
    container: &str,
) -> Result<Samples> {
    let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector={}", encoded(selector));
    let list = cx.client().fetch(&path).map_err(|error| in_words(error, "unable to fetch metrics from resource metrics API"))?;
    let items = list_at(&list, &["items"]);
    if items.is_empty() {
        return Err(missing("no metrics returned from resource metrics API"));
    }
    let mut samples = Samples::new();
    for pod in items {
        let name = str_at(pod, &["metadata", "name"]);
        let all = list_at(pod, &["containers"]);
        let counted: Vec<&Value> = all.iter().filter(|c| container.is_empty() || str_at(c, &["name"]) == container).collect();
        if counted.is_empty() && !container.is_empty() {
            return Err(missing(&format!("container {container} not present in metrics for pod {namespace}/{name}")));
        }
        // A pod of which something is not known is as good as unknown.
        let used: Option<Vec<i64>> = counted.iter().map(|c| milli(c.pointer(&format!("/usage/{resource}")))).collect();
        let Some(used) = used else { continue };
        let at = Time::parse(str_at(pod, &["timestamp"])).unwrap_or(cx.now);
        samples.insert(name.to_owned(), Sample { value: used.iter().sum(), at, window: seconds(str_at(pod, &["window"])) });
    }
    Ok(samples)
}

/// Go's text of a duration in whole seconds: `30s`, `1m0s`.
fn seconds(text: &str) -> u64 {
    let (mut total, mut stated) = (0.0, false);
    let mut number = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' => number.push(c),
            'h' | 'm' | 's' => {
                let unit = [('h', 3600.0), ('m', 60.0), ('s', 1.0)].iter().find(|(name, _)| *name == c).map_or(1.0, |u| u.1);
                total += number.parse::<f64>().unwrap_or(0.0) * unit;
                (number, stated) = (String::new(), true);
            }
            _ => return WINDOW,
        }
    }
    if stated { total as u64 } else { WINDOW }
}

/// A metric of each of these pods.
pub fn pods(cx: &mut Context<'_>, metric: &Value, namespace: &str, selector: &LabelSelector) -> Result<Samples> {
    let below = format!("namespaces/{namespace}/pods/%2A/{}", escaped(str_at(metric, &["name"])));
    let list = custom(cx, &below, metric, &format!("labelSelector={}", encoded(selector)))?;
    let items = list_at(&list, &["items"]);
    if items.is_empty() {
        return Err(missing("no metrics returned from custom metrics API"));
    }
    let sample = |item: &Value| {
        let at = Time::parse(str_at(item, &["timestamp"])).unwrap_or(cx.now);
        let window = object::value::i64_at(item, &["windowSeconds"]).and_then(|s| u64::try_from(s).ok()).unwrap_or(WINDOW);
        Some((str_at(item, &["describedObject", "name"]).to_owned(), Sample { value: milli(item.get("value"))?, at, window }))
    };
    Ok(items.iter().filter_map(sample).collect())
}

/// A metric of one object.
pub fn object(cx: &mut Context<'_>, metric: &Value, namespace: &str, described: &Value) -> Result<i64> {
    let (kind, name) = (str_at(described, &["kind"]), str_at(described, &["name"]));
    let version =
        object::GroupVersion::parse(str_at(described, &["apiVersion"])).unwrap_or_else(|| object::GroupVersion::new("", "v1"));
    let found = cx.api.registry().kind(&version.kind(kind)).map(|r| (r.group_resource().to_string(), r.namespaced));
    let Some((resource, namespaced)) = found else {
        return Err(missing(&format!("no matches for kind {kind:?} in group {:?}", version.group)));
    };
    let metric_name = escaped(str_at(metric, &["name"]));
    let below = match (kind, namespaced) {
        ("Namespace", _) => format!("namespaces/{name}/metrics/{metric_name}"),
        (_, true) => format!("namespaces/{namespace}/{resource}/{name}/{metric_name}"),
        (_, false) => format!("{resource}/{name}/{metric_name}"),
    };
    let list = custom(cx, &below, metric, "")?;
    let value = list_at(&list, &["items"]).first().and_then(|item| milli(item.get("value")));
    value.ok_or_else(|| missing("unable to fetch metrics from custom metrics API: no value"))
}

fn custom(cx: &mut Context<'_>, below: &str, metric: &Value, query: &str) -> Result<Value> {
    const GROUP: &str = "custom.metrics.k8s.io";
    let versions = cx.api.versions_elsewhere(GROUP);
    let Some(version) = ["v1beta2", "v1beta1"].into_iter().find(|known| versions.iter().any(|version| version == known)) else {
        return Err(missing(
            "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered",
        ));
    };
    let by_metric = match metric.get("selector").map(LabelSelector::from_json) {
        Some(Ok(selector)) if !selector.is_empty() => format!("metricLabelSelector={}", encoded(&selector)),
        _ => String::new(),
    };
    let query = [by_metric.as_str(), query].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    let answer = cx.client().fetch(&format!("/apis/{GROUP}/{version}/{below}{mark}{query}"));
    answer.map_err(|error| in_words(error, "unable to fetch metrics from custom metrics API"))
}

/// The values of a metric of something outside of the cluster.
pub fn external(cx: &mut Context<'_>, metric: &Value, namespace: &str) -> Result<Vec<i64>> {
    let name = str_at(metric, &["name"]);
    let selector = match metric.get("selector").map(LabelSelector::from_json) {
        Some(Ok(selector)) if !selector.is_empty() => format!("?labelSelector={}", encoded(&selector)),
        _ => String::new(),
    };
    let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{}{selector}", escaped(name));
    let answer = cx.client().fetch(&path);
    let list = answer.map_err(|error| in_words(error, "unable to fetch metrics from external metrics API"))?;
    let values: Vec<i64> = list_at(&list, &["items"]).iter().filter_map(|item| milli(item.get("value"))).collect();
    if values.is_empty() { Err(missing("no metrics returned from external metrics API")) } else { Ok(values) }
}

/// An error with what was being done; what has only to wait stays as it is.
pub fn in_words(mut error: Box<ApiError>, doing: &str) -> Box<ApiError> {
    if !error.is_pending() {
        error.message = format!("{doing}: {}", error.message);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expect) in [("30s", 30), ("1m0s", 60), ("1h2m3.5s", 3723), ("0s", 0), ("", WINDOW), ("soon", WINDOW)] {
            assert_eq!(seconds(text), expect, "{text:?}");
        }
    }
}
