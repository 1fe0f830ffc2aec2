// Holds manifests against the schema of the Kubernetes API:
//   kubectl kustomize FOLDER | node validate.mjs NUMBER
// Fails if one does not fit, is of no kind that is known here, or there are not
// exactly NUMBER of them.
import { readFileSync } from 'node:fs';
import { loadAll } from 'js-yaml';
import { CronJob } from 'kubernetes-models/batch/v1';

const kinds = { 'batch/v1/CronJob': CronJob };

const manifests = loadAll(readFileSync(0, 'utf8')).filter(Boolean);
for (const manifest of manifests) {
  const name = `${manifest.apiVersion}/${manifest.kind}`;
  const Kind = kinds[name];
  if (!Kind) throw new Error(`${name}: no such kind is expected`);
  new Kind(manifest).validate();
  console.log(`${name} ${manifest.metadata.name}: fits`);
}
const expected = Number(process.argv[2]);
if (manifests.length !== expected) {
  throw new Error(`${manifests.length} manifests instead of ${expected}`);
}
