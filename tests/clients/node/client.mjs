// The Kubernetes client of npm does what tools and operators do with it. The cluster is $KUBECONFIG's.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import * as k8s from "@kubernetes/client-node";
import { EXPECTED, driveObjects } from "./objects.mjs";

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const namespace = "node";
const patchOptions = (type) => k8s.setHeaderOptions("Content-Type", type);
const CONFIGMAPS = `/api/v1/namespaces/${namespace}/configmaps`;
// Nothing takes this long; without it a fault would hang the test.
const limits = { timeout: 60_000 };

before(() => core.createNamespace({ body: { metadata: { name: namespace } } }));
after(() => core.deleteNamespace({ name: namespace }));

test("objects are created, read, changed, listed and deleted", limits, async () => {
  assert.deepEqual(await driveObjects(core, apps, namespace, patchOptions), EXPECTED);
});

test("errors are Statuses", limits, async () => {
  const error = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "Not A Name" } } }).catch((e) => e);
  const status = JSON.parse(error.body);
  assert.deepEqual([error.code, status.kind, status.reason, status.details.causes[0].field], [422, "Status", "Invalid", "metadata.name"]);
});

test("a watch follows", limits, async () => {
  const { metadata } = await core.listNamespacedConfigMap({ namespace });
  const seen = [];
  await new Promise((resolve, reject) => {
    const onEvent = (type, object) => {
      seen.push(`${type} ${object.metadata.name}`);
      if (type === "DELETED") request.then((controller) => controller.abort());
    };
    const query = { resourceVersion: metadata.resourceVersion, allowWatchBookmarks: true };
    const onEnd = (error) => (error && error.name !== "AbortError" ? reject(error) : resolve());
    const request = new k8s.Watch(config).watch(CONFIGMAPS, query, onEvent, onEnd);
    request
      .then(() => core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "w" } } }))
      .then(() => core.patchNamespacedConfigMap({ name: "w", namespace, body: { data: { a: "b" } } }, patchOptions("application/merge-patch+json")))
      .then(() => core.deleteNamespacedConfigMap({ name: "w", namespace }))
      .catch(reject);
  });
  assert.deepEqual(seen, ["ADDED w", "MODIFIED w", "DELETED w"]);
});

test("an informer keeps a cache", limits, async () => {
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "before", labels: { inform: "me" } } } });
  const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: "inform=me" });
  const informer = k8s.makeInformer(config, CONFIGMAPS, list, "inform=me");
  const events = [];
  const changed = new Promise((resolve, reject) => {
    informer.on("error", reject);
    for (const verb of ["add", "update", "delete"]) {
      informer.on(verb, (object) => {
        events.push(`${verb} ${object.metadata.name}`);
        if (verb === "delete") resolve();
      });
    }
  });
  await informer.start();
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "later", labels: { inform: "me" } } } });
  await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "other" } } });
  await core.patchNamespacedConfigMap({ name: "later", namespace, body: { data: { a: "b" } } }, patchOptions("application/merge-patch+json"));
  await core.deleteNamespacedConfigMap({ name: "before", namespace });
  await changed;
  await informer.stop();
  assert.deepEqual(events, ["add before", "add later", "update later", "delete before"]);
  assert.deepEqual(informer.list(namespace).map((object) => object.metadata.name), ["later"]);
});

test("kinds that come from definitions are like the others", limits, async () => {
  for (const definition of k8s.loadAllYaml(readFileSync(process.env.DEFINITIONS, "utf8"))) await objects.create(definition);
  const spec = { engine: "postgres", storage: { size: "1Gi" }, noBackup: true };
  const database = { apiVersion: "data.example.com/v1", kind: "Database", metadata: { name: "db", namespace }, spec };
  const made = await objects.create(database);
  assert.deepEqual([made.spec.port, made.spec.replicas, made.spec.storage.className], [5432, 1, "standard"]);
  const applied = await objects.patch(
    { ...database, spec: { ...spec, replicas: 3 } }, undefined, undefined, "node", true, k8s.PatchStrategy.ServerSideApply,
  );
  assert.equal(applied.spec.replicas, 3);
  const custom = config.makeApiClient(k8s.CustomObjectsApi);
  const place = { group: "data.example.com", version: "v1", plural: "databases", namespace, name: "db" };
  const scale = await custom.getNamespacedCustomObjectScale(place);
  assert.deepEqual([scale.kind, scale.spec.replicas], ["Scale", 3]);
  await custom.patchNamespacedCustomObjectStatus(
    { ...place, body: { status: { phase: "Ready", replicas: 3 } } }, patchOptions("application/merge-patch+json"),
  );
  const list = await custom.listNamespacedCustomObject({ ...place, fieldSelector: "spec.engine=postgres" });
  assert.deepEqual(list.items.map((item) => item.status.phase), ["Ready"]);
  assert.equal((await objects.read(database)).metadata.generation, 2);
  await objects.delete(database);
});
