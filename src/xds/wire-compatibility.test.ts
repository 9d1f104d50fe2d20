/**
 * Our .proto files are cut down by hand. Here they are held against the full ones, which `@grpc/grpc-js-xds` ships: the
 * same numbers, names and types, and bytes that go both ways.
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";

import {
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";

import { file_envoy_config_cluster_v3_circuit_breaker } from "./gen/envoy/config/cluster/v3/circuit_breaker_pb.ts";
import { file_envoy_config_cluster_v3_cluster } from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import { file_envoy_config_core_v3_address } from "./gen/envoy/config/core/v3/address_pb.ts";
import { file_envoy_config_core_v3_base } from "./gen/envoy/config/core/v3/base_pb.ts";
import { file_envoy_config_core_v3_config_source } from "./gen/envoy/config/core/v3/config_source_pb.ts";
import { file_envoy_config_core_v3_health_check } from "./gen/envoy/config/core/v3/health_check_pb.ts";
import { file_envoy_config_endpoint_v3_endpoint_components } from "./gen/envoy/config/endpoint/v3/endpoint_components_pb.ts";
import { file_envoy_config_endpoint_v3_endpoint } from "./gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { file_envoy_config_listener_v3_api_listener } from "./gen/envoy/config/listener/v3/api_listener_pb.ts";
import { file_envoy_config_listener_v3_listener } from "./gen/envoy/config/listener/v3/listener_pb.ts";
import { file_envoy_config_route_v3_route_components } from "./gen/envoy/config/route/v3/route_components_pb.ts";
import { file_envoy_config_route_v3_route } from "./gen/envoy/config/route/v3/route_pb.ts";
import { file_envoy_extensions_filters_http_router_v3_router } from "./gen/envoy/extensions/filters/http/router/v3/router_pb.ts";
import { file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager } from "./gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import {
  AggregatedDiscoveryService,
  file_envoy_service_discovery_v3_ads,
} from "./gen/envoy/service/discovery/v3/ads_pb.ts";
import { file_envoy_service_discovery_v3_discovery } from "./gen/envoy/service/discovery/v3/discovery_pb.ts";
import { file_envoy_service_auth_v3_attribute_context } from "./gen/envoy/service/auth/v3/attribute_context_pb.ts";
import { file_envoy_service_auth_v3_external_auth } from "./gen/envoy/service/auth/v3/external_auth_pb.ts";
import { file_envoy_type_v3_http_status } from "./gen/envoy/type/v3/http_status_pb.ts";
import { file_envoy_type_matcher_v3_regex } from "./gen/envoy/type/matcher/v3/regex_pb.ts";
import { file_envoy_type_matcher_v3_string } from "./gen/envoy/type/matcher/v3/string_pb.ts";
import { file_google_rpc_status } from "./gen/google/rpc/status_pb.ts";

/** All of our files that have a full counterpart. */
const files: readonly DescFile[] = [
  file_envoy_config_cluster_v3_circuit_breaker,
  file_envoy_config_cluster_v3_cluster,
  file_envoy_config_core_v3_address,
  file_envoy_config_core_v3_base,
  file_envoy_config_core_v3_config_source,
  file_envoy_config_core_v3_health_check,
  file_envoy_config_endpoint_v3_endpoint,
  file_envoy_config_endpoint_v3_endpoint_components,
  file_envoy_config_listener_v3_api_listener,
  file_envoy_config_listener_v3_listener,
  file_envoy_config_route_v3_route,
  file_envoy_config_route_v3_route_components,
  file_envoy_extensions_filters_http_router_v3_router,
  file_envoy_extensions_filters_network_http_connection_manager_v3_http_connection_manager,
  file_envoy_service_auth_v3_attribute_context,
  file_envoy_service_auth_v3_external_auth,
  file_envoy_service_discovery_v3_ads,
  file_envoy_service_discovery_v3_discovery,
  file_envoy_type_matcher_v3_regex,
  file_envoy_type_matcher_v3_string,
  file_envoy_type_v3_http_status,
  file_google_rpc_status,
];

interface FullField {
  readonly name: string;
  readonly number: number;
  /** "TYPE_STRING" */
  readonly type: string;
  /** "LABEL_REPEATED" */
  readonly label: string;
  /** Absolute or relative to where it stands. */
  readonly typeName: string;
}

interface FullEnum {
  readonly name: string;
  readonly value: readonly { readonly name: string; readonly number: number }[];
}

interface FullDescriptor {
  readonly name: string;
  readonly field: readonly FullField[];
  readonly nestedType: readonly FullDescriptor[];
  readonly enumType: readonly FullEnum[];
}

type FullMessage = MessageTypeDefinition<object, object>;

const root = dirname(createRequire(import.meta.url).resolve("@grpc/grpc-js-xds/package.json"));
const full = loadSync(
  files.map(({ proto }) => proto.name),
  {
    keepCase: true,
    longs: String,
    includeDirs: ["envoy-api", "xds", "googleapis", "protoc-gen-validate"].map((name) => join(root, "deps", name)),
  },
);

/** The definition of a message that stands in no other. */
function fullMessage(name: string): FullMessage {
  const found = full[name];
  assert.ok(found !== undefined && found.format === "Protocol Buffer 3 DescriptorProto", `${name} does not exist`);
  return found;
}

/** The descriptor of any message. */
function fullDescriptor(message: DescMessage): FullDescriptor {
  if (message.parent === undefined) return fullMessage(message.typeName).type as FullDescriptor;
  const found = fullDescriptor(message.parent).nestedType.find(({ name }) => name === message.name);
  assert.ok(found, `${message.typeName} does not exist`);
  return found;
}

function fullEnum(desc: DescEnum): FullEnum {
  const found =
    desc.parent === undefined
      ? (full[desc.typeName]?.type as FullEnum | undefined)
      : fullDescriptor(desc.parent).enumType.find(({ name }) => name === desc.name);
  assert.ok(found, `${desc.typeName} does not exist`);
  return found;
}

function messagesOf(messages: readonly DescMessage[]): DescMessage[] {
  return messages.flatMap((message) => [message, ...messagesOf(message.nestedMessages)]);
}

const messages = files.flatMap((file) => messagesOf(file.messages));

function enumsOf(owner: {
  readonly enums?: readonly DescEnum[];
  readonly nestedEnums?: readonly DescEnum[];
}): readonly DescEnum[] {
  return owner.enums ?? owner.nestedEnums ?? [];
}

const enums = [...files, ...messages].flatMap(enumsOf);

/** As a descriptor of the full kind names it: "TYPE_STRING", "TYPE_MESSAGE envoy.config.core.v3.Node". */
function typeOf(field: DescField): string {
  if (field.fieldKind === "map") return "TYPE_MESSAGE map";
  const message = field.message;
  if (message !== undefined) return `TYPE_MESSAGE ${message.typeName}`;
  if (field.enum !== undefined) return `TYPE_ENUM ${field.enum.typeName}`;
  return `TYPE_${ScalarType[field.scalar ?? 0]}`;
}

/** Sets every field of a message, of a oneof the member whose turn it is. */
function fill(desc: DescMessage, turn: number): ReflectMessage {
  const message = reflect(desc);
  for (const member of desc.members) {
    const field = member.kind === "oneof" ? member.fields[turn % member.fields.length] : member;
    if (field !== undefined) fillField(message, field, turn);
  }
  return message;
}

function fillField(message: ReflectMessage, field: DescField, turn: number): void {
  switch (field.fieldKind) {
    case "scalar":
      return message.set(field, sample(field.scalar));
    case "enum":
      return message.set(field, field.enum.values.at(-1)?.number);
    case "message":
      return message.set(field, fillMessage(field.message, turn));
    case "list":
      message.get(field).add(field.listKind === "message" ? fillMessage(field.message, turn) : sample(field.scalar));
      return;
    case "map":
      message
        .get(field)
        .set("key", field.mapKind === "message" ? fillMessage(field.message, turn) : sample(field.scalar));
  }
}

/** A Struct may hold itself, so it stays empty. */
function fillMessage(desc: DescMessage, turn: number): ReflectMessage {
  return desc.typeName === "google.protobuf.Struct" ? reflect(desc) : fill(desc, turn);
}

function sample(scalar: ScalarType | undefined): unknown {
  if (scalar === ScalarType.STRING) return "text";
  if (scalar === ScalarType.BYTES) return Uint8Array.of(1, 2, 3);
  if (scalar === ScalarType.BOOL) return true;
  return scalar === ScalarType.INT64 ? 7n : 7;
}

/** Through the full definition and back; what that does not know is lost on the way. */
function throughFull(desc: DescMessage, bytes: Uint8Array): Message {
  const type = fullMessage(desc.typeName);
  return fromBinary(desc, Uint8Array.from(type.serialize(type.deserialize(Buffer.from(bytes)))));
}

describe("our messages against the full ones", () => {
  it("are all that we have but for our own extensions", () => {
    assert.ok(messages.length >= 35, `${messages.length}`);
    assert.ok(enums.length >= 5, `${enums.length}`);
  });

  for (const message of messages) {
    it(`${message.typeName} has fields of the same number, type and repeatedness`, () => {
      const { field: fields } = fullDescriptor(message);
      for (const field of message.fields) {
        const other = fields.find(({ name }) => name === field.name);
        assert.ok(other, `${field.name} does not exist`);
        assert.equal(other.number, field.number, field.name);
        const repeated = field.fieldKind === "list" || field.fieldKind === "map";
        assert.equal(other.label === "LABEL_REPEATED", repeated, field.name);
        const [type, typeName = ""] = typeOf(field).split(" ");
        assert.equal(other.type, type, field.name);
        if (field.fieldKind === "map") continue;
        const shown = other.typeName.replace(/^\./, "");
        assert.ok(
          typeName === shown || typeName.endsWith(`.${shown}`),
          `${field.name} is a ${shown}, not a ${typeName}`,
        );
      }
    });
  }

  for (const message of messages.filter(({ parent }) => parent === undefined)) {
    it(`${message.typeName} survives the way through the full definition with every field`, () => {
      const turns = Math.max(
        1,
        ...messagesOf([message]).flatMap(({ oneofs }) => oneofs.map(({ fields }) => fields.length)),
      );
      for (let turn = 0; turn < turns; turn++) {
        const filled = fill(message, turn).message;
        assert.deepEqual(throughFull(message, toBinary(message, filled)), filled);
      }
    });
  }

  for (const ours of enums) {
    it(`${ours.typeName} has the same values`, () => {
      const { value: values } = fullEnum(ours);
      for (const { name, number } of ours.values) {
        assert.equal(values.find((value) => value.name === name)?.number, number, name);
      }
    });
  }

  it("the service has the same methods", () => {
    const service = full[AggregatedDiscoveryService.typeName] as unknown as Record<string, Record<string, unknown>>;
    for (const { name, input, output, methodKind } of AggregatedDiscoveryService.methods) {
      const method = service[name];
      assert.ok(method, name);
      assert.equal(method["path"], `/${AggregatedDiscoveryService.typeName}/${name}`);
      assert.equal(methodKind, "bidi_streaming");
      assert.deepEqual([method["requestStream"], method["responseStream"]], [true, true]);
      const names = [method["requestType"], method["responseType"]].map(
        (type) => (type as FullMessage).type as { name: string },
      );
      assert.deepEqual(
        names.map((type) => type.name),
        [input.name, output.name],
      );
    }
  });
});
