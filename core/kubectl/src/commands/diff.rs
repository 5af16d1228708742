//! The patch of a client-side apply: what the manifest changes, what it dropped since last time, and nothing that others set.
//! Also the text of `kubectl diff`.

use object::{Map, Value, json};

use crate::openapi::Schema;

/// The patch from `current` to `modified`, deleting what stands in `original` and not in `modified`. With a schema it is a
/// strategic merge patch, without one a merge patch. `None`: nothing to do.
pub(crate) fn three_way(original: &Value, modified: &Value, current: &Value, schema: Option<Schema<'_>>) -> Option<Value> {
    let none = Map::new();
    let map = |v: &'_ Value| v.as_object().cloned();
    let original = map(original).unwrap_or_default();
    let patch =
        maps(&original, modified.as_object().unwrap_or(&none), current.as_object().unwrap_or(&none), schema, schema.is_some());
    (!patch.is_empty()).then_some(Value::Object(patch))
}

type Object = Map<String, Value>;

fn maps(original: &Object, modified: &Object, current: &Object, schema: Option<Schema<'_>>, strategic: bool) -> Object {
    let none = Map::new();
    let mut patch = Map::new();
    for (key, wanted) in modified {
        let field = schema.and_then(|s| s.field(key).or_else(|| s.values()));
        match (wanted, current.get(key)) {
            (Value::Null, None) => {}
            (_, None) => {
                patch.insert(key.clone(), wanted.clone());
            }
            (Value::Object(wanted), Some(Value::Object(have))) => {
                let before = original.get(key).and_then(Value::as_object).unwrap_or(&none);
                let mut below = maps(before, wanted, have, field, strategic);
                if !below.is_empty() {
                    if strategic && field.is_some_and(|f| f.text("x-kubernetes-patch-strategy").contains("retainKeys")) {
                        let keys: Vec<&String> = wanted.keys().collect();
                        below.insert("$retainKeys".to_owned(), json!(keys));
                    }
                    patch.insert(key.clone(), Value::Object(below));
                }
            }
            (Value::Array(wanted), Some(Value::Array(have))) if strategic && merges(field) => {
                let before = original.get(key).and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
                lists(key, before, wanted, have, field, &mut patch);
            }
            (wanted, Some(have)) if wanted == have => {}
            (wanted, Some(_)) => {
                patch.insert(key.clone(), wanted.clone());
            }
        }
    }
    for key in original.keys() {
        if !modified.contains_key(key) && current.contains_key(key) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    patch
}

fn merges(field: Option<Schema<'_>>) -> bool {
    field.is_some_and(|f| f.text("x-kubernetes-patch-strategy").contains("merge"))
}

fn lists(key: &str, original: &[Value], modified: &[Value], current: &[Value], field: Option<Schema<'_>>, patch: &mut Object) {
    let merge_key = field.map_or("", |f| f.text("x-kubernetes-patch-merge-key"));
    if merge_key.is_empty() {
        let added: Vec<Value> = modified.iter().filter(|v| !current.contains(v)).cloned().collect();
        let gone: Vec<Value> = original.iter().filter(|v| !modified.contains(v) && current.contains(v)).cloned().collect();
        if !gone.is_empty() {
            patch.insert(format!("$deleteFromPrimitiveList/{key}"), Value::Array(gone.clone()));
        }
        if !added.is_empty() || !gone.is_empty() {
            patch.insert(format!("$setElementOrder/{key}"), Value::Array(modified.to_vec()));
        }
        if !added.is_empty() {
            patch.insert(key.to_owned(), Value::Array(added));
        }
        return;
    }
    let none = Map::new();
    let same = |a: &Value, b: &Value| a.get(merge_key).is_some() && a.get(merge_key) == b.get(merge_key);
    let mut items = Vec::new();
    for wanted in modified {
        let Some(have) = current.iter().find(|c| same(c, wanted)) else {
            items.push(wanted.clone());
            continue;
        };
        let before = original.iter().find(|o| same(o, wanted)).and_then(Value::as_object).unwrap_or(&none);
        let (Some(wanted_map), Some(have)) = (wanted.as_object(), have.as_object()) else { continue };
        let mut below = maps(before, wanted_map, have, field.and_then(Schema::items), true);
        if !below.is_empty() {
            if let Some(value) = wanted.get(merge_key) {
                below.insert(merge_key.to_owned(), value.clone());
            }
            items.push(Value::Object(below));
        }
    }
    for gone in original.iter().filter(|o| !modified.iter().any(|m| same(m, o)) && current.iter().any(|c| same(c, o))) {
        items.push(json!({"$patch": "delete", merge_key: gone.get(merge_key)}));
    }
    if !items.is_empty() {
        let order: Vec<Value> = modified.iter().map(|m| json!({merge_key: m.get(merge_key)})).collect();
        patch.insert(format!("$setElementOrder/{key}"), Value::Array(order));
        patch.insert(key.to_owned(), Value::Array(items));
    }
}

/// A unified diff of two texts, as `diff -u -N` prints it.
pub(crate) fn unified(file: &str, old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // Longest common subsequence; manifests are short, and very long ones are shown as replaced.
    let mut table = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    if a.len() * b.len() <= 25_000_000 {
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                table[i][j] = if a[i] == b[j] { table[i + 1][j + 1] + 1 } else { table[i + 1][j].max(table[i][j + 1]) };
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines: Vec<(char, &str, usize, usize)> = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push((' ', a[i], i, j));
            i += 1;
            j += 1;
        } else if j >= b.len() || (i < a.len() && table[i + 1][j] >= table[i][j + 1]) {
            lines.push(('-', a[i], i, j));
            i += 1;
        } else {
            lines.push(('+', b[j], i, j));
            j += 1;
        }
    }
    let mut out = format!("diff -u -N LIVE/{file} MERGED/{file}\n--- LIVE/{file}\n+++ MERGED/{file}\n");
    let mut at = 0;
    while let Some(next) = lines.iter().skip(at).position(|l| l.0 != ' ').map(|n| n + at) {
        let start = next.saturating_sub(3).max(at);
        let mut end = next;
        while let Some(more) = lines.iter().skip(end).take(7).position(|l| l.0 != ' ') {
            end += more + 1;
        }
        let end = (end + 3).min(lines.len());
        let hunk = &lines[start..end];
        let count = |skip: char| hunk.iter().filter(|l| l.0 != skip).count();
        let (old_count, new_count) = (count('+'), count('-'));
        let first = |line: usize, count: usize| if count == 0 { line } else { line + 1 };
        let range = |line: usize, count: usize| if count == 1 { format!("{line}") } else { format!("{line},{count}") };
        out += &format!(
            "@@ -{} +{} @@\n",
            range(first(hunk[0].2, old_count), old_count),
            range(first(hunk[0].3, new_count), new_count)
        );
        for (sign, line, ..) in hunk {
            out += &format!("{sign}{line}\n");
        }
        at = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_schema_it_is_a_merge_patch() {
        let patch = three_way(
            &json!({"a": 1, "gone": 1, "m": {"x": 1}}),
            &json!({"a": 2, "new": [1], "m": {}}),
            &json!({"a": 1, "gone": 1, "others": 1, "m": {"x": 1, "y": 2}}),
            None,
        );
        assert_eq!(patch, Some(json!({"a": 2, "gone": null, "new": [1], "m": {"x": null}})));
        assert_eq!(three_way(&json!({}), &json!({"a": 1}), &json!({"a": 1, "b": 2}), None), None);
    }

    #[test]
    fn diffs_are_unified() {
        let text = unified("f", "a\nb\nc\n", "a\nB\nc\n");
        assert_eq!(text, "diff -u -N LIVE/f MERGED/f\n--- LIVE/f\n+++ MERGED/f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
    }
}
