/** Writes `schema/mesh.schema.json` from the schema that the parser itself uses. */
import { mkdirSync, writeFileSync } from "node:fs";

import { meshJsonSchema } from "../src/dialects/mesh/schema.ts";

const folder = new URL("../schema/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("mesh.schema.json", folder), meshJsonSchema());
