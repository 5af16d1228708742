// What the generated client does with objects, wherever it runs: in Node.js over TLS, or in a page through wasmkube's fetch.

/** Creates, reads, changes, lists and deletes with these two APIs; throws at the first surprise and returns what it saw. */
export async function driveObjects(core, apps, namespace, patchOptions) {
  const seen = [];
  const configMap = (name, data) => ({ metadata: { name, labels: { by: "js" } }, data });
  const made = await core.createNamespacedConfigMap({ namespace, body: configMap("a", { one: "1" }) });
  expect(made.metadata.creationTimestamp instanceof Date, "times are dates", made);
  made.data.two = "2";
  const replaced = await core.replaceNamespacedConfigMap({ name: "a", namespace, body: made });
  seen.push(Object.keys(replaced.data).join());
  const conflict = await core.replaceNamespacedConfigMap({ name: "a", namespace, body: made }).catch((error) => error);
  seen.push(conflict.code);
  const apply = {
    apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: { two: "zwei" },
  };
  const options = patchOptions("application/apply-patch+yaml");
  const refused = await core
    .patchNamespacedConfigMap({ name: "a", namespace, body: apply, fieldManager: "js" }, options)
    .catch((error) => error);
  seen.push(refused.code);
  const applied = await core.patchNamespacedConfigMap({ name: "a", namespace, body: apply, fieldManager: "js", force: true }, options);
  seen.push(applied.data.two, applied.metadata.managedFields.find((f) => f.operation === "Apply").manager);
  const merge = patchOptions("application/merge-patch+json");
  await core.patchNamespacedConfigMap({ name: "a", namespace, body: { data: { one: null } } }, merge);
  const json = patchOptions("application/json-patch+json");
  const operations = [{ op: "add", path: "/data/three", value: "3" }];
  const patched = await core.patchNamespacedConfigMap({ name: "a", namespace, body: operations }, json);
  seen.push(Object.keys(patched.data).sort().join());
  for (const name of ["b", "c", "d", "e"]) await core.createNamespacedConfigMap({ namespace, body: configMap(name) });
  const names = [];
  let _continue;
  do {
    const page = await core.listNamespacedConfigMap({ namespace, labelSelector: "by=js", limit: 2, _continue });
    names.push(...page.items.map((item) => item.metadata.name));
    _continue = page.metadata._continue;
  } while (_continue);
  seen.push(names.join(""));
  const template = { metadata: { labels: { app: "js" } }, spec: { containers: [{ name: "c", image: "i" }] } };
  const spec = { replicas: 1, selector: { matchLabels: { app: "js" } }, template };
  await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: "js" }, spec } });
  // The deployment controller writes to the new Deployment too, so this may take another read.
  let scaled;
  while (!scaled) {
    const scale = await apps.readNamespacedDeploymentScale({ name: "js", namespace });
    scale.spec.replicas = 2;
    scaled = await apps.replaceNamespacedDeploymentScale({ name: "js", namespace, body: scale }).catch((error) => {
      if (error.code !== 409) throw error;
    });
  }
  seen.push(scaled.spec.replicas);
  await apps.deleteNamespacedDeployment({ name: "js", namespace, propagationPolicy: "Background" });
  await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: "by=js" });
  const gone = await core.readNamespacedConfigMap({ name: "a", namespace }).catch((error) => error);
  seen.push(gone.code);
  return seen;
}

/** What `driveObjects` returns where everything works. */
export const EXPECTED = ["one,two", 409, 409, "zwei", "js", "three,two", "abcde", 2, 404];

function expect(holds, what, value) {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(value)}`);
}
