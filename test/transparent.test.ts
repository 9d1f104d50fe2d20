/** `heddle up --transparent`: programs that know nothing of the mesh, each in a namespace of its own, call each other. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";

import type { Namespace } from "../src/cli/up/transparent/namespace.ts";
import { metricSum } from "./support/mesh.ts";
import { needsRoot, outputIn } from "./support/namespaces.ts";
import { transparentMesh } from "./support/transparent.ts";
import { until } from "./support/until.ts";

const SERVER = join(import.meta.dirname, "fixtures", "http-server.py");

const MESH = `
name: shop
namespace: shop
services:
  price:
    run: [python3, ${SERVER}, "8080"]
    port: 8080
    instances: 2
  redis:
    run: [redis-server, --port, "6379", --save, ""]
    port: 6379
  client:
    run: exec sleep 3600
    ports: []
`;

/** Who answered, by the server's own word. */
const Answer = /^(\S+) (\S+) host=(\S+)$/m;

async function metricsOf(machine: Namespace, admin: string): Promise<string> {
  return outputIn(machine, ["curl", "-sS", `http://${admin}/metrics`]);
}

describe("heddle up --transparent", () => {
  it(
    "meshes unchanged programs by name, and leaves nothing behind",
    needsRoot("nft", "curl", "python3", "redis-server", "redis-cli"),
    async (context: TestContext) => {
      const mesh = await transparentMesh(context, MESH);
      const client = async (...words: string[]): Promise<string> => {
        const { code, stdout, stderr } = await mesh.inside("client-1", words);
        assert.equal(code, 0, `${words.join(" ")}: ${stderr}${stdout}`);
        return stdout;
      };

      await context.test("curl reaches both instances of a service, and sees the address that it dialled", async () => {
        const [address = ""] = (await client("getent", "ahostsv4", "price")).split(/\s/);
        assert.match(address, /^10\.78\./);
        const answered = new Set<string>();
        await until(
          "both have answered",
          async () => {
            const said = await client(
              "curl",
              "-sS",
              "-4",
              "-w",
              "%{remote_ip}:%{remote_port}",
              "http://price:8080/hello",
            );
            const [, who = "", path, host] = Answer.exec(said) ?? assert.fail(said);
            assert.deepEqual([path, host], ["/hello", "price:8080"]);
            assert.ok(said.endsWith(`${address}:8080`), said);
            answered.add(who);
            return answered.size === 2;
          },
          60_000,
        );
        const fq = await client("curl", "-sS", "http://price.shop.svc.cluster.local:8080/");
        assert.match(fq, /host=price\.shop\.svc\.cluster\.local:8080/);
      });

      await context.test("the same in IPv6", async () => {
        const said = await client("curl", "-sS", "-6", "-w", "%{remote_ip}", "http://price:8080/six");
        assert.match(said, /^price-\d \/six host=price:8080\nfd77::2:/);
      });

      await context.test("python's HTTP client and redis-cli do, too", async () => {
        const script =
          'import urllib.request; print(urllib.request.urlopen("http://price:8080/py", timeout=20).read().decode())';
        assert.match(await client("python3", "-c", script), /^price-\d \/py host=price:8080$/m);
        assert.equal((await client("redis-cli", "-h", "redis", "set", "answer", "42")).trim(), "OK");
        assert.equal((await client("redis-cli", "-h", "redis.shop", "get", "answer")).trim(), "42");
      });

      await context.test("the address of one instance reaches that one", async () => {
        for (const name of ["price-1", "price-2"]) {
          const inside = await mesh.inside(name, ["ip", "-4", "-o", "address", "show", "eth0"]);
          const [, address] = /inet (10\.77\.\d+\.\d+)/.exec(inside.stdout) ?? assert.fail(inside.stderr);
          for (let i = 0; i < 3; i++) {
            assert.match(await client("curl", "-sS", `http://${address}:8080/`), new RegExp(`^${name} `));
          }
        }
      });

      await context.test("a program calls its own service", async () => {
        for (let i = 0; i < 4; i++) {
          const { stdout } = await mesh.inside("price-1", ["curl", "-sS", "http://price:8080/own"]);
          assert.match(stdout, /^price-\d \/own host=price:8080$/m);
        }
      });

      await context.test("both sidecars have measured it, and people reach the mesh as ever", async () => {
        const listed = JSON.parse(
          await outputIn(mesh.machine, [
            process.execPath,
            join(import.meta.dirname, "..", "bin", "heddle"),
            "endpoints",
            "-o",
            "json",
          ]),
        );
        const adminOf = (workload: string): string => {
          const text = JSON.stringify(listed);
          const row = (listed as { workload: string; admin: string }[]).find((one) => one.workload === workload);
          return row?.admin ?? assert.fail(text);
        };
        const out = await metricsOf(mesh.machine, adminOf("client-1"));
        assert.ok(
          metricSum(out, "response_total", 'direction="outbound"', 'dst_service="price"', 'status_code="200"') > 0,
        );
        const into = await metricsOf(mesh.machine, adminOf("price-1"));
        assert.ok(metricSum(into, "response_total", 'direction="inbound"', 'status_code="200"') > 0);
        const bytes = await metricsOf(mesh.machine, adminOf("redis-1"));
        assert.ok(metricSum(bytes, "tcp_open_total", 'direction="inbound"', 'peer="dst"') > 0);
        assert.match(
          await outputIn(mesh.machine, ["curl", "-sS", "-H", "Host: price:8080", "http://127.0.0.1:4140/keyboard"]),
          /^price-\d \/keyboard/,
        );
      });

      await context.test(
        "sidecars are no root, and cannot be reached at their admin listeners from elsewhere",
        async () => {
          const users = await outputIn(mesh.machine, [
            "/bin/sh",
            "-c",
            "ps -eo uid,args | grep '/run/heddle/code/[b]in/heddle proxy' | awk '{print $1}' | sort -u",
          ]);
          assert.equal(users.trim(), "2102");
        },
      );

      await context.test("a service that is added is found by programs that run already", async () => {
        const later = `${MESH}  later:\n    run: [python3, ${SERVER}, "9090"]\n    port: 9090\n`;
        await writeFile(mesh.meshFile, later);
        await until(
          "it answers",
          async () =>
            (await mesh.inside("client-1", ["curl", "-sS", "http://later:9090/"])).stdout.startsWith("later-1"),
          60_000,
        );
      });

      await context.test("Ctrl-C ends it, and nothing is left", async () => {
        const hosts = await readFile("/etc/hosts", "utf8");
        assert.ok(!hosts.includes("10.78."), "the machine's own names are as they were");
        assert.equal(await mesh.stop(), 0, mesh.output());
        await until("every process of it is gone", () => mesh.left().length === 0, 30_000);
        assert.doesNotMatch(await outputIn(mesh.machine, ["ip", "-o", "link"]), /veth|heddle/);
      });
    },
  );

  it("leaves nothing behind when it is killed", needsRoot("nft", "python3"), async (context) => {
    const mesh = await transparentMesh(
      context,
      `services:\n  price:\n    run: [python3, ${SERVER}, "8080"]\n    port: 8080\n`,
    );
    assert.ok(mesh.left().length >= 3, "the program, its sidecar and the keyboard's");
    mesh.process.kill("SIGKILL");
    await until("every process of it is gone", () => mesh.left().length === 0, 30_000);
  });

  it("refuses a program the ports of its sidecar", needsRoot("nft"), async (context) => {
    const mesh = "services:\n  price:\n    run: sleep 3600\n    port: 4143\n";
    await assert.rejects(transparentMesh(context, mesh), /price-1 cannot listen at port 4143: its sidecar does/);
  });

  it("says that it takes root", needsRoot("nft"), async (context) => {
    const { namespace } = await import("./support/namespaces.ts");
    const { heddle } = await import("./support/up.ts");
    const place = await namespace(context);
    const file = join(import.meta.dirname, "..", "examples", "shop", "mesh.yaml");
    const words = [
      "setpriv",
      "--reuid=2102",
      "--clear-groups",
      process.execPath,
      heddle,
      "up",
      "--transparent",
      "-f",
      file,
    ];
    const { code, stderr } = await place.run(words, "");
    assert.equal(code, 1);
    assert.match(
      stderr,
      /--transparent makes network namespaces and firewall rules, which takes root\n {2}Try it with sudo\./,
    );
  });
});
