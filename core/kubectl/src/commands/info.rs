//! `kubectl version`, `cluster-info`, `api-resources`, `api-versions`.

use object::order::Order as _;
use object::value::{list_at, str_at};

use crate::api::query;
use crate::flags::{Flag, Flags, Takes};
use crate::print::columns::{TABLE, align};
use crate::{Failure, Kubectl, Result};

const FLAGS: &[Flag] = &[
    ("output", 'o', Takes::Value),
    ("no-headers", '\0', Takes::Bool),
    ("namespaced", '\0', Takes::Bool),
    ("api-group", '\0', Takes::Value),
    ("verbs", '\0', Takes::Value),
    ("categories", '\0', Takes::Value),
    ("sort-by", '\0', Takes::Value),
    ("cached", '\0', Takes::Bool),
    ("client", '\0', Takes::Bool),
];

pub(crate) async fn version(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("version", words, &[FLAGS])?;
    k.line(&format!("Client Version: {}", crate::VERSION));
    k.line("Kustomize Version: v5.7.1");
    if !flags.on("client") {
        let server = k.get("/version").await?;
        k.line(&format!("Server Version: {}", str_at(&server, &["gitVersion"])));
    }
    Ok(())
}

pub(crate) async fn cluster_info(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    Flags::parse("cluster-info", words, &[FLAGS])?;
    let services = k
        .get(&format!(
            "/api/v1/namespaces/kube-system/services{}",
            query(&[("labelSelector", "kubernetes.io/cluster-service=true")])
        ))
        .await?;
    let row = |what: &str, at: &str| format!("{what} is running at {at}");
    k.line(&row("Kubernetes control plane", &k.server));
    for service in list_at(&services, &["items"]) {
        let name = str_at(service, &["metadata", "name"]);
        k.line(&row(name, &format!("{}/api/v1/namespaces/kube-system/services/{name}/proxy", k.server)));
    }
    k.line("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.");
    Ok(())
}

pub(crate) async fn api_versions(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    Flags::parse("api-versions", words, &[])?;
    let mut versions = k.discover().await?.versions;
    versions.order();
    versions.iter().for_each(|v| k.line(v));
    Ok(())
}

pub(crate) async fn api_resources(k: &Kubectl<'_>, words: &[String]) -> Result<()> {
    let flags = Flags::parse("api-resources", words, &[FLAGS])?;
    if let Some(argument) = flags.args.first() {
        return Err(Failure::new(format!(
            "unexpected arguments: [{argument}]\nSee 'kubectl api-resources -h' for help and examples"
        )));
    }
    let discovery = k.discover().await?;
    let mut found: Vec<_> = Vec::new();
    let (verbs, categories) = (flags.list("verbs"), flags.list("categories"));
    for m in &discovery.resources {
        let kept = !m.verbs.is_empty()
            && flags.get("api-group").is_none_or(|g| m.group == g)
            && flags.get("namespaced").is_none_or(|_| m.namespaced == flags.on("namespaced"))
            && verbs.iter().all(|v| m.verbs.contains(v))
            && categories.iter().all(|c| m.categories.contains(c));
        // Only the preferred version of a group is shown.
        let first = discovery.resources.iter().find(|o| o.group == m.group).map(|o| &o.version);
        if kept && first == Some(&m.version) {
            found.push(m);
        }
    }
    if flags.text("sort-by") == "name" {
        found.order_by(|a, b| a.resource.cmp(&b.resource));
    } else if flags.text("sort-by") == "kind" {
        found.order_by(|a, b| a.kind.cmp(&b.kind));
    } else {
        found.order_by(|a, b| (&a.group, &a.resource).cmp(&(&b.group, &b.resource)));
    }
    let wide = flags.text("output") == "wide";
    if flags.text("output") == "name" {
        found.iter().for_each(|m| k.line(&m.group_resource()));
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    if !flags.on("no-headers") {
        let mut head = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
        if wide {
            head.extend(["VERBS", "CATEGORIES"]);
        }
        rows.push(head.into_iter().map(str::to_owned).collect());
    }
    for m in found {
        let mut row =
            vec![m.resource.clone(), m.short_names.join(","), m.api_version(), m.namespaced.to_string(), m.kind.clone()];
        if wide {
            row.extend([m.verbs.join(","), m.categories.join(",")]);
        }
        rows.push(row);
    }
    k.print(&align(&rows, TABLE, &mut Vec::new()));
    Ok(())
}
