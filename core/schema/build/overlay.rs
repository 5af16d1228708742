//! Reads `overlay/*.yaml`: one file for each group, and one for the types that all share.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// All files together.
#[derive(Default)]
pub struct Overlay {
    /// Groups in the order of `order.yaml`.
    pub groups: Vec<Group>,
    /// What is said of types, by their full name.
    pub types: BTreeMap<String, BTreeMap<String, Entry>>,
    /// Field numbers in protobuf, by the full name of the type.
    pub numbers: BTreeMap<String, BTreeMap<String, u32>>,
}

/// A group and its resources, by `version/resource`.
pub struct Group {
    pub name: String,
    pub package: String,
    pub versions: Vec<String>,
    pub resources: BTreeMap<String, Resource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    group: Option<String>,
    package: String,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    resources: BTreeMap<String, Resource>,
    #[serde(default)]
    types: BTreeMap<String, BTreeMap<String, Entry>>,
}

/// A resource, as overlay/README.md describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Resource {
    pub kind: String,
    #[serde(default)]
    pub scope: Option<String>,
    #[serde(default)]
    pub short_names: Vec<String>,
    #[serde(default)]
    pub categories: Vec<String>,
    #[serde(default)]
    pub verbs: Option<Vec<String>>,
    #[serde(default)]
    pub subresources: BTreeMap<String, Subresource>,
    #[serde(default)]
    pub field_selectors: Option<Vec<String>>,
    #[serde(default)]
    pub columns: Vec<Column>,
    #[serde(default)]
    pub stored_as: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subresource {
    #[serde(default)]
    pub kind: Option<String>,
    #[serde(default)]
    pub verbs: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub format: String,
    #[serde(default)]
    pub priority: u8,
    #[serde(default)]
    pub description: String,
    /// `v1.PodStatus.podIP`: described as this field is.
    #[serde(default)]
    pub doc: Option<String>,
}

/// What is said of a field, or (under `$type`) of the type itself.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Entry {
    pub atomic: bool,
    pub list: Option<String>,
    pub keys: Vec<String>,
    pub map: Option<String>,
    pub patch: String,
    pub merge_key: String,
    pub required: Option<bool>,
    pub zero: bool,
    pub pointer: Option<bool>,
    pub default: Option<Value>,
    pub published: bool,
    pub choices: Vec<String>,
    pub go: String,
}

/// Reads the folder.
pub fn read(folder: &Path) -> Result<Overlay, Box<dyn Error>> {
    let order: Vec<String> = parse(&folder.join("order.yaml"))?;
    let mut files: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::path);
    let mut out = Overlay::default();
    for entry in files {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "yaml") || path.ends_with("order.yaml") {
            continue;
        }
        let file: File = parse(&path)?;
        for (name, entries) in file.types {
            out.types.insert(format!("{}.{name}", file.package), entries);
        }
        if let Some(name) = file.group {
            out.groups.push(Group { name, package: file.package, versions: file.versions, resources: file.resources });
        }
    }
    for group in &out.groups {
        if !order.contains(&group.name) {
            return Err(format!("overlay/order.yaml does not name the group {:?}", group.name).into());
        }
    }
    out.groups.sort_by_key(|g| order.iter().position(|o| *o == g.name));
    out.numbers = numbers(&fs::read_to_string(folder.join("protobuf.txt"))?)?;
    Ok(out)
}

/// `[package]`, then lines of `Message field=1 inlined=2.1`.
fn numbers(text: &str) -> Result<BTreeMap<String, BTreeMap<String, u32>>, Box<dyn Error>> {
    let (mut out, mut package) = (BTreeMap::new(), "");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            package = name;
            continue;
        }
        let mut words = line.split(' ');
        let message = format!("{package}.{}", words.next().unwrap_or_default());
        let mut fields = BTreeMap::new();
        for word in words {
            let (field, path) = word.split_once('=').ok_or_else(|| format!("protobuf.txt: {message}: {word}"))?;
            let mut number = 0u32;
            for part in path.split('.') {
                number = number << 8 | u32::from(part.parse::<u8>()?);
            }
            fields.insert(field.to_owned(), number);
        }
        out.insert(message, fields);
    }
    Ok(out)
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Box<dyn Error>> {
    serde_saphyr::from_str(&fs::read_to_string(path)?).map_err(|e| format!("{}: {e}", path.display()).into())
}
