//! What must be in a pod's volumes.

use std::collections::{BTreeMap, BTreeSet};

use object::{Bytes, Quantity};

use crate::env::{Resolver, Unresolved, not_found};
use crate::io::{DataKind, FileContent, Reference, VolumeContent, VolumeFile, VolumeSource};
use crate::node_state::Lookup;
use crate::pod::{DownwardFiles, ObjectFiles, Pod, Volume};

const DEFAULT_MODE: u32 = 0o644;

/// The ConfigMaps and Secrets that the pod's volumes need.
pub(crate) fn references(pod: &Pod) -> BTreeSet<Reference> {
    let mut out = BTreeSet::new();
    let mut add = |kind, name: &str| {
        out.insert(Reference { kind, namespace: pod.namespace.clone(), name: name.to_owned() });
    };
    for volume in &pod.spec.volumes {
        volume.config_map.iter().for_each(|v| add(DataKind::ConfigMap, &v.name));
        volume.secret.iter().for_each(|v| add(DataKind::Secret, &v.secret_name));
        for source in volume.projected.iter().flat_map(|p| &p.sources) {
            source.config_map.iter().for_each(|v| add(DataKind::ConfigMap, &v.name));
            source.secret.iter().for_each(|v| add(DataKind::Secret, &v.name));
        }
    }
    out
}

/// The contents of all volumes, or the first that cannot be made, with its name.
pub(crate) fn contents(r: &Resolver<'_>) -> Result<Vec<VolumeContent>, (String, Unresolved)> {
    r.pod
        .spec
        .volumes
        .iter()
        .map(|volume| match source(r, volume) {
            Ok(source) => Ok(VolumeContent { volume: volume.name.clone(), source }),
            Err(why) => Err((volume.name.clone(), why)),
        })
        .collect()
}

fn source(r: &Resolver<'_>, volume: &Volume) -> Result<VolumeSource, Unresolved> {
    let mut files = Files::default();
    if let Some(dir) = &volume.empty_dir {
        let size_limit = Quantity::from_json(&dir.size_limit).map(|q| q.value());
        return Ok(VolumeSource::EmptyDir { memory: dir.medium == "Memory", size_limit });
    } else if let Some(from) = &volume.config_map {
        files.object(r, DataKind::ConfigMap, &from.name, from, from.default_mode)?;
    } else if let Some(from) = &volume.secret {
        files.object(r, DataKind::Secret, &from.secret_name, from, from.default_mode)?;
    } else if let Some(from) = &volume.downward_api {
        files.downward(r, from, from.default_mode)?;
    } else if let Some(projected) = &volume.projected {
        for source in &projected.sources {
            if let Some(from) = &source.config_map {
                files.object(r, DataKind::ConfigMap, &from.name, from, projected.default_mode)?;
            } else if let Some(from) = &source.secret {
                files.object(r, DataKind::Secret, &from.name, from, projected.default_mode)?;
            } else if let Some(from) = &source.downward_api {
                files.downward(r, from, projected.default_mode)?;
            } else if let Some(token) = &source.service_account_token {
                let content = FileContent::ServiceAccountToken {
                    account: r.pod.spec.service_account_name.clone(),
                    audience: token.audience.clone(),
                    expiration_seconds: token.expiration_seconds.unwrap_or(3_600),
                };
                // Kubernetes gives tokens to their owner only.
                files.put(&token.path, 0o600, content);
            }
        }
    } else if let Some(path) = &volume.host_path {
        return Ok(VolumeSource::HostPath { path: path.path.clone(), kind: path.kind.clone() });
    } else if let Some(claim) = &volume.persistent_volume_claim {
        return Ok(VolumeSource::Claim { name: claim.claim_name.clone(), read_only: claim.read_only });
    } else {
        return Err(Unresolved::Missing("no volume plugin matched: this node does not support this volume source".to_owned()));
    }
    Ok(VolumeSource::Files(files.into_list()))
}

/// Files by path; a later source wins.
#[derive(Default)]
struct Files(BTreeMap<String, VolumeFile>);

impl Files {
    fn put(&mut self, path: &str, mode: u32, content: FileContent) {
        self.0.insert(path.to_owned(), VolumeFile { path: path.to_owned(), mode, content });
    }

    fn object(
        &mut self,
        r: &Resolver<'_>,
        kind: DataKind,
        name: &str,
        from: &ObjectFiles,
        mode: Option<u32>,
    ) -> Result<(), Unresolved> {
        let mode = mode.unwrap_or(DEFAULT_MODE);
        let data = match r.node.lookup(&r.reference(kind, name)) {
            Lookup::Unknown => return Err(Unresolved::Wait),
            Lookup::Missing if from.optional => return Ok(()),
            Lookup::Missing => return Err(not_found(kind, name)),
            Lookup::Data(data) => data,
        };
        if from.items.is_empty() {
            for (key, bytes) in data.iter() {
                self.put(key, mode, FileContent::Bytes(bytes.clone()));
            }
        }
        for item in &from.items {
            match data.get(&item.key) {
                Some(bytes) => self.put(&item.path, item.mode.unwrap_or(mode), FileContent::Bytes(bytes.clone())),
                None if from.optional => {}
                None => return Err(Unresolved::Missing(format!("references non-existent config key: {}", item.key))),
            }
        }
        Ok(())
    }

    fn downward(&mut self, r: &Resolver<'_>, from: &DownwardFiles, mode: Option<u32>) -> Result<(), Unresolved> {
        for item in &from.items {
            let text = match (&item.field_ref, &item.resource_field_ref) {
                (Some(field), _) => r.field(&field.field_path)?,
                (None, Some(resource)) => r.resource(resource, None)?,
                (None, None) => String::new(),
            };
            self.put(&item.path, item.mode.or(mode).unwrap_or(DEFAULT_MODE), FileContent::Bytes(Bytes::from(text)));
        }
        Ok(())
    }

    fn into_list(self) -> Vec<VolumeFile> {
        self.0.into_values().collect()
    }
}
