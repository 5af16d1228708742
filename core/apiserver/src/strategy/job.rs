//! Jobs find their pods by a selector that the API server makes (`generateSelector` of the Job strategy).

use object::Value;
use object::value::{bool_at, object_at, str_at};

const LABELS: [&str; 4] = ["batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name"];

/// Labels the template with the Job's uid and name, and selects by the uid; not where the author chose a selector.
pub fn generate_selector(job: &mut Value) {
    if bool_at(job, &["spec", "manualSelector"]) {
        return;
    }
    let (uid, name) = (str_at(job, &["metadata", "uid"]).to_owned(), str_at(job, &["metadata", "name"]).to_owned());
    let labels = object_at(job, &["spec", "template", "metadata", "labels"]);
    for key in LABELS {
        let value = if key.ends_with("uid") { &uid } else { &name };
        labels.entry(key).or_insert_with(|| value.as_str().into());
    }
    object_at(job, &["spec", "selector", "matchLabels"]).insert(LABELS[0].to_owned(), uid.into());
}
