/** Where a request's tokens are, and the request without them. */
import type { JwtLocation } from "../../model/inbound-policy.ts";
import { wireText } from "../text.ts";

/** The parts of a request that tokens may be in. */
export interface TokenCarrier {
  /** Origin form, with the query. */
  readonly path: string;
  readonly headers: readonly string[];
}

/** … changed in place when they are taken out. */
export interface OpenTokenCarrier {
  path: string;
  readonly headers: string[];
}

/** Every value at one place that could be a token. More than one is somebody's trick: who reads which? */
export function tokensAt({ path, headers }: TokenCarrier, location: JwtLocation): string[] {
  switch (location.in) {
    case "header":
      return fields(headers, location.name).flatMap((value) => afterPrefix(value, location.prefix) ?? []);
    case "query":
      return parameters(path).flatMap(([name, value]) => (name === location.name ? value : []));
    case "cookie":
      return fields(headers, "cookie")
        .flatMap(pairs)
        .flatMap(([name, value]) => (name === location.name ? value : []));
  }
}

/** Takes out what {@link tokensAt} finds there. */
export function removeTokens(carrier: OpenTokenCarrier, location: JwtLocation): void {
  const { headers, path } = carrier;
  switch (location.in) {
    case "header":
      return edit(headers, location.name, (value) =>
        afterPrefix(value, location.prefix) === undefined ? value : undefined,
      );
    case "cookie":
      return edit(headers, "cookie", (value) => {
        const parts = value.split(";");
        const rest = parts.filter((part) => nameOf(part.trim()) !== location.name);
        if (rest.length === parts.length) return value;
        return rest.length === 0 ? undefined : rest.join(";").trimStart();
      });
    case "query": {
      const query = path.indexOf("?");
      if (query < 0) return;
      const parts = path.slice(query + 1).split("&");
      const rest = parts.filter((part) => decodeParameter(nameOf(part)) !== location.name);
      if (rest.length === parts.length) return;
      carrier.path = rest.length === 0 ? path.slice(0, query) : `${path.slice(0, query)}?${rest.join("&")}`;
    }
  }
}

/** Sets a field, or with undefined takes it out. */
export function setField(headers: string[], name: string, value: string | undefined): void {
  edit(headers, name.toLowerCase(), () => undefined);
  if (value !== undefined) headers.push(name, value);
}

/** The scheme of Authorization is known by its letters, not by their case (RFC 9110 §11.1). */
function afterPrefix(value: string, prefix: string): string | undefined {
  const begins = value.slice(0, prefix.length).toLowerCase() === prefix.toLowerCase();
  return begins ? value.slice(prefix.length).trim() : undefined;
}

function fields(headers: readonly string[], name: string): string[] {
  const lower = name.toLowerCase();
  const values: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const field = headers[i] as string;
    if (field.length === lower.length && field.toLowerCase() === lower) values.push(headers[i + 1] as string);
  }
  return values;
}

/** @param change gives the new value; undefined takes the field out */
function edit(headers: string[], name: string, change: (value: string) => string | undefined): void {
  const lower = name.toLowerCase();
  let kept = 0;
  for (let i = 0; i < headers.length; i += 2) {
    const field = headers[i] as string;
    const value = headers[i + 1] as string;
    const next = field.toLowerCase() === lower ? change(value) : value;
    if (next === undefined) continue;
    headers[kept] = field;
    headers[kept + 1] = next;
    kept += 2;
  }
  headers.length = kept;
}

function parameters(path: string): [name: string, value: string][] {
  const query = path.indexOf("?");
  if (query < 0) return [];
  return path
    .slice(query + 1)
    .split("&")
    .map((part) => {
      const name = nameOf(part);
      return [decodeParameter(name), decodeParameter(part.slice(name.length + 1))];
    });
}

function pairs(cookie: string): [name: string, value: string][] {
  return cookie.split(";").map((part) => {
    const text = part.trim();
    const name = nameOf(text);
    return [name, text.slice(name.length + 1).replace(/^"(.*)"$/, "$1")];
  });
}

function nameOf(pair: string): string {
  const equals = pair.indexOf("=");
  return equals < 0 ? pair : pair.slice(0, equals);
}

function decodeParameter(text: string): string {
  try {
    return wireText(decodeURIComponent(text.replaceAll("+", " ")));
  } catch {
    return text;
  }
}
