// Uploads N rows through Azure's SDK: upload.mjs ENDPOINT RULE STREAM N MARK.
import { ManagedIdentityCredential } from "@azure/identity";
import { LogsIngestionClient } from "@azure/monitor-ingestion";

const [endpoint, rule, stream, count, mark] = process.argv.slice(2);
const client = new LogsIngestionClient(endpoint, new ManagedIdentityCredential());
const now = new Date().toISOString();
const rows = Array.from({ length: Number(count) }, (_, i) => ({ TimeGenerated: now, Message: `${mark}-${i}` }));
try {
  await client.upload(rule, stream, rows);
  console.log("uploaded");
} catch (refused) {
  const first = refused.errors?.[0]?.cause ?? refused;
  console.log(`refused: ${first.statusCode} ${first.code ?? ""}`);
}
