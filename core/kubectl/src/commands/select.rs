//! Which objects a command line means: `TYPE NAME...`, `TYPE/NAME...`, `TYPE,TYPE`, `-l`, `-f`.

use object::Value;
use object::value::{list_at, str_at};

use crate::api::{path, query};
use crate::discovery::Mapping;
use crate::flags::Flags;
use crate::{Failure, Kubectl, Result};

/// A resource, and the names asked for; none means all.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub mapping: Mapping,
    pub names: Vec<String>,
}

/// An object that a command works on.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub mapping: Mapping,
    pub namespace: String,
    pub name: String,
    pub object: Value,
}

impl Target {
    /// Its path.
    pub(crate) fn path(&self) -> String {
        path(&self.mapping, &self.namespace, &self.name)
    }

    /// `deployment.apps/web`.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", self.mapping.singular_with_group(), self.name)
    }
}

impl Kubectl<'_> {
    /// The namespace of a command line.
    pub(crate) fn namespace_of(&self, flags: &Flags) -> String {
        match flags.get("namespace") {
            _ if flags.on("all-namespaces") => String::new(),
            Some(namespace) if !namespace.is_empty() => namespace.to_owned(),
            _ => self.namespace.clone(),
        }
    }

    /// What `args` select; several selections for several types.
    pub(crate) async fn selections(&self, args: &[String]) -> Result<Vec<Selection>> {
        let mut out: Vec<Selection> = Vec::new();
        if args.iter().any(|a| a.contains('/')) {
            for arg in args {
                let Some((word, name)) = arg.split_once('/') else {
                    return Err(Failure::new(
                        "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'",
                    ));
                };
                if name.is_empty() || name.contains('/') {
                    return Err(Failure::new("arguments in resource/name form may not have more than one slash"));
                }
                let mapping = self.mapping(word).await?;
                match out.iter_mut().find(|s| s.mapping == mapping) {
                    Some(selection) => selection.names.push(name.to_owned()),
                    None => out.push(Selection { mapping, names: vec![name.to_owned()] }),
                }
            }
            return Ok(out);
        }
        let Some((types, names)) = args.split_first() else { return Ok(out) };
        let discovery = self.discover().await?;
        for word in types.split(',').filter(|w| !w.is_empty()) {
            let category = discovery.category(word);
            if category.is_empty() {
                out.push(Selection { mapping: self.mapping(word).await?, names: names.to_vec() });
            }
            out.extend(category.into_iter().map(|m| Selection { mapping: m.clone(), names: names.to_vec() }));
        }
        Ok(out)
    }

    /// The objects that arguments, `-f`, `-l` and `--all` select. What is missing is said at once, and the rest is given.
    pub(crate) async fn targets(&self, flags: &Flags, args: &[String]) -> Result<(Vec<Target>, Vec<Failure>)> {
        let namespace = self.namespace_of(flags);
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        if !flags.all("filename").is_empty() {
            for manifest in self.manifests(flags).await? {
                let mapping = self.mapping_of(&manifest.object, &manifest.source).await?;
                let own = str_at(&manifest.object, &["metadata", "namespace"]);
                let namespace = if own.is_empty() { namespace.clone() } else { own.to_owned() };
                let name = str_at(&manifest.object, &["metadata", "name"]).to_owned();
                self.one(mapping, namespace, name, &mut found, &mut missing).await?;
            }
            return Ok((found, missing));
        }
        let selector = (flags.text("selector"), flags.text("field-selector"));
        for selection in self.selections(args).await? {
            for name in &selection.names {
                self.one(selection.mapping.clone(), namespace.clone(), name.clone(), &mut found, &mut missing).await?;
            }
            if selection.names.is_empty() {
                if selector == ("", "") && !flags.on("all") {
                    return Err(Failure::new("resource(s) were provided, but no name was specified"));
                }
                let query = query(&[("labelSelector", selector.0), ("fieldSelector", selector.1)]);
                let list = self.get(&format!("{}{query}", path(&selection.mapping, &namespace, ""))).await?;
                for item in list_at(&list, &["items"]) {
                    found.push(target(&selection.mapping, item.clone()));
                }
            }
        }
        Ok((found, missing))
    }

    async fn one(
        &self,
        mapping: Mapping,
        namespace: String,
        name: String,
        found: &mut Vec<Target>,
        missing: &mut Vec<Failure>,
    ) -> Result<()> {
        match self.get(&path(&mapping, &namespace, &name)).await {
            Ok(object) => found.push(target(&mapping, object)),
            Err(failure) if failure.not_found => missing.push(failure),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Says what is missing; fails if anything is.
    pub(crate) fn say_missing(&self, missing: &[Failure]) -> Result<()> {
        for failure in missing {
            self.error(&failure.message);
        }
        if missing.is_empty() { Ok(()) } else { Err(Failure::silent()) }
    }
}

fn target(mapping: &Mapping, mut object: Value) -> Target {
    // Items of lists do not say what they are.
    if let Some(map) = object.as_object_mut() {
        map.entry("apiVersion").or_insert_with(|| mapping.api_version().into());
        map.entry("kind").or_insert_with(|| mapping.kind.as_str().into());
    }
    Target {
        mapping: mapping.clone(),
        namespace: str_at(&object, &["metadata", "namespace"]).to_owned(),
        name: str_at(&object, &["metadata", "name"]).to_owned(),
        object,
    }
}
