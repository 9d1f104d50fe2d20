/** mesh.yaml from the disk. */
import { type ReadText, readText, textOf } from "../read-file.ts";
import { parseMeshFile, type ParsedMeshFile } from "./parse.ts";

/** Reads and parses a file. Never rejects. */
export async function readMeshFile(file: string): Promise<ParsedMeshFile> {
  return parsed(await readText(file), file);
}

/** Parses bytes, which must be UTF-8. Never throws. */
export function parseMeshBytes(bytes: Buffer, file: string): ParsedMeshFile {
  return parsed(textOf(bytes, file), file);
}

function parsed(read: ReadText, file: string): ParsedMeshFile {
  return "text" in read ? parseMeshFile(read.text, file) : { diagnostics: [read.diagnostic] };
}
