/**
 * The shape of mesh.yaml as its author writes it. Every leaf carries, as its error, what is expected there ("a port
 * number, 1 to 65535"); `issues.ts` makes sentences of it. The JSON Schema for editors comes from here too.
 */
import * as z from "zod";

import { DEFAULT_POLICIES } from "../../model/inbound-policy.ts";
import { APP_PROTOCOLS, OPAQUE_PORTS, PORT_PROTOCOLS, portProtocol } from "../../model/service.ts";
import { parseDuration } from "../duration.ts";

/** Instances of one service. */
export const INSTANCES_MAX = 100;
/** Ports of one service. */
export const PORTS_MAX = 64;
/** Upstreams of one service. */
export const UPSTREAMS_MAX = 256;
/** Entries of `resources`. */
export const RESOURCE_PATHS_MAX = 1_000;
/** Entries of `policy.authorizers`. */
export const AUTHORIZERS_MAX = 100;
const TEXT_LENGTH_MAX = 32_768;

function leaf(pattern: RegExp, lengthMax: number, expected: string): z.ZodString {
  return z.string({ error: expected }).max(lengthMax, { error: expected }).regex(pattern, { error: expected });
}

function integer(min: number, max: number, expected: string): z.ZodNumber {
  return z.int({ error: expected }).min(min, { error: expected }).max(max, { error: expected });
}

/** Text for a program: it cannot have NUL in it, for the system ends it there. */
function argument(lengthMin: 0 | 1, expected: string) {
  return z
    .string({ error: expected })
    .min(lengthMin, { error: expected })
    .max(TEXT_LENGTH_MAX, { error: expected })
    .refine((value) => !value.includes("\0"), { error: `${expected} without NUL characters` });
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

function dnsLabel(what: string): z.ZodString {
  return leaf(DNS_LABEL, 63, `${what}: small letters, digits and "-", at most 63 characters`);
}

const variableName = leaf(/^[A-Za-z_][A-Za-z0-9_]*$/, 255, 'the name of an environment variable, like "PORT"');

function scalars(key: z.ZodString, expected: string, lengthMax: number) {
  const value = z.union([argument(0, expected).max(lengthMax, { error: expected }), z.number(), z.boolean()], {
    error: expected,
  });
  return z.record(key, value, { error: `a mapping of names to ${expected}` });
}

const env = scalars(variableName, "text, a number, true or false", TEXT_LENGTH_MAX).meta({
  description: "Environment variables. Numbers and booleans are passed on as they are written.",
});

const labels = scalars(
  leaf(/^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/, 253, 'the name of a label, like "version"'),
  "text, a number, true or false, at most 256 characters",
  256,
).meta({ description: 'Labels of the workloads, for instance "version".' });

const portNumber = integer(1, 65_535, "a port number, 1 to 65535");

const protocol = z
  .enum([...PORT_PROTOCOLS, ...Object.keys(APP_PROTOCOLS)], {
    error: `one of ${PORT_PROTOCOLS.map((name) => `"${name}"`).join(", ")}`,
  })
  .meta({
    description: `What is spoken there. Default: "opaque" on the ports ${OPAQUE_PORTS.join(", ")}, else "detect": found out from the first bytes.`,
  })
  .transform(portProtocol);

export const portSchema = z.strictObject(
  {
    name: dnsLabel("the name of a port").optional().meta({ description: 'Default for the first port: "http".' }),
    port: portNumber.meta({ description: "The port that callers say." }),
    protocol: protocol.optional(),
    env: variableName.optional().meta({
      description:
        "The environment variable that tells the program where to listen. Default PORT for the first port, PORT_<NAME> for others.",
    }),
  },
  { error: 'a mapping with "port"' },
);

export const instanceSchema = z.strictObject(
  {
    name: dnsLabel("the name of an instance")
      .optional()
      .meta({ description: "Unique in the file. Default: the service's name and a number, like price-1." }),
    env: env.optional(),
    labels: labels.optional(),
  },
  { error: 'a mapping like "name: price-1"' },
);

const RUN = "a command: text for /bin/sh, or a list of a program and its arguments";
const INSTANCES = `a number of instances, 1 to ${INSTANCES_MAX}, or a list of them`;
const UPSTREAM = 'the name of a service, like "price", "price.shop" or "price:80"';

export const serviceSchema = z.strictObject(
  {
    run: z
      .union([argument(1, RUN), z.array(argument(0, "text"), { error: RUN }).min(1, { error: RUN })], { error: RUN })
      .meta({ description: "The command. Text is run by /bin/sh -c; a list is a program and its arguments." }),
    directory: argument(1, "a folder, relative to this file or absolute")
      .optional()
      .meta({ description: "Where the command runs, relative to this file. Default: the folder of this file." }),
    port: portNumber.optional().meta({ description: "Short for ports: [{ name: http, port: … }]. Default 80." }),
    protocol: protocol.optional(),
    ports: z
      .array(portSchema, { error: "a list of ports" })
      .max(PORTS_MAX, { error: `at most ${PORTS_MAX} ports` })
      .optional()
      .meta({ description: "All ports. An empty list: it only calls others." }),
    upstreams: z
      .array(leaf(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(:\d{1,5})?$/, 259, UPSTREAM), {
        error: "a list of the names of services",
      })
      .max(UPSTREAMS_MAX, { error: `at most ${UPSTREAMS_MAX} upstreams` })
      .optional()
      .meta({ description: "Services that it calls. Each is given to it as HEDDLE_UPSTREAM_<NAME>=host:port." }),
    env: env.optional(),
    labels: labels.optional(),
    ready: leaf(/^\/[!-~]*$/, 2_048, 'a path that starts with "/", like "/healthz"')
      .optional()
      .meta({
        description:
          "Path on the first port that answers 2xx once an instance may take traffic. Default: it is ready when it accepts connections.",
      }),
    instances: z
      .union(
        [
          integer(1, INSTANCES_MAX, INSTANCES),
          z
            .array(instanceSchema, { error: INSTANCES })
            .min(1, { error: INSTANCES })
            .max(INSTANCES_MAX, { error: INSTANCES }),
        ],
        { error: INSTANCES },
      )
      .optional()
      .meta({ description: "How many, or each by itself. Default 1." }),
  },
  { error: 'a mapping with at least "run"' },
);

const TIMEOUT = 'a time from 1ms to 60s, like "600ms"';

export const authorizerSchema = z.strictObject(
  {
    name: leaf(/^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$/, 253, 'the name that policies say, like "opa"').meta({
      description: "What provider.name of Istio's AuthorizationPolicy names.",
    }),
    address: leaf(
      /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])$/,
      259,
      'host:port, like "127.0.0.1:9191"',
    ).meta({ description: "Where the server speaks envoy.service.auth.v3 over gRPC without TLS." }),
    timeout: leaf(/^/, 32, TIMEOUT)
      .refine((value) => (parseDuration(value) ?? 0) >= 1 && (parseDuration(value) ?? 0) <= 60_000, { error: TIMEOUT })
      .optional()
      .meta({ description: "Until it counts as silent. Default 600ms." }),
    failOpen: z
      .boolean({ error: "true or false" })
      .optional()
      .meta({ description: "Whether calls pass while it does not answer. Default false." }),
  },
  { error: 'a mapping with "name" and "address"' },
);

const POLICY_NAMES = DEFAULT_POLICIES.map((name) => `"${name}"`).join(", ");

export const policySchema = z
  .strictObject(
    {
      default: z
        .enum(DEFAULT_POLICIES, { error: `one of ${POLICY_NAMES}` })
        .optional()
        .meta({ description: 'Who may call where no document says anything. Default "all-unauthenticated".' }),
      trustDomain: leaf(/^[a-z0-9]([-a-z0-9._]*[a-z0-9])?$/, 255, 'a trust domain, like "cluster.local"')
        .optional()
        .meta({ description: 'What the identities of this mesh begin with. Default "cluster.local".' }),
      authorizers: z
        .array(authorizerSchema, { error: "a list of authorizers" })
        .max(AUTHORIZERS_MAX, { error: `at most ${AUTHORIZERS_MAX} authorizers` })
        .optional()
        .meta({ description: "External authorizers, by the names that Istio's CUSTOM policies say." }),
    },
    { error: 'a mapping like "default: deny"' },
  )
  .meta({ description: "What the documents under resources leave open." });

const RESOURCES = "a list of files and folders";

const SERVICES = "a mapping of names to services, with at least one";

export const meshSchema = z
  .strictObject(
    {
      name: dnsLabel("the name of the mesh").optional().meta({ description: "Default: the name of the folder." }),
      namespace: dnsLabel("a namespace")
        .optional()
        .meta({ description: 'The namespace of its services. Default "default".' }),
      services: z
        .record(dnsLabel("the name of a service"), serviceSchema, { error: SERVICES })
        .refine((services) => Object.keys(services).length > 0, { error: SERVICES }),
      resources: z
        .array(argument(1, "a file or a folder, relative to this file or absolute"), { error: RESOURCES })
        .max(RESOURCE_PATHS_MAX, { error: `at most ${RESOURCE_PATHS_MAX} files and folders` })
        .optional()
        .meta({
          description:
            "Documents of Istio, Linkerd, SMI and Consul: files, and folders of which *.yaml, *.yml and *.json are read.",
        }),
      policy: policySchema.optional(),
    },
    { error: 'a mapping with "services"' },
  )
  .meta({ title: "Heddle mesh.yaml", description: "Which services run on this machine, and what they call." });

export type PortText = z.infer<typeof portSchema>;
export type InstanceText = z.infer<typeof instanceSchema>;
export type ServiceText = z.infer<typeof serviceSchema>;
export type PolicyText = z.infer<typeof policySchema>;
export type MeshText = z.infer<typeof meshSchema>;

/** For editors: what `schema/mesh.schema.json` holds. */
export function meshJsonSchema(): string {
  return `${JSON.stringify(z.toJSONSchema(meshSchema, { io: "input" }), null, 2)}\n`;
}
