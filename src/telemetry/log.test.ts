import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { LOG_BACKLOG_BYTES_MAX, Logger, type LogFormat, type LogLevel } from "./log.ts";

function logger(
  level: LogLevel,
  format: LogFormat,
): { log: Logger; lines: string[]; sink: { writableLength: number } } {
  const lines: string[] = [];
  const sink = { writableLength: 0, write: (line: string) => lines.push(line) };
  return { log: new Logger({ level, format, sink, now: () => new Date(0) }), lines, sink };
}

describe("Logger", () => {
  it("writes lines for people", () => {
    const { log, lines } = logger("info", "plain");
    log.warn("it is late", { hour: 23, place: "the office", empty: "", none: undefined });
    assert.deepEqual(lines, ['1970-01-01T00:00:00.000Z WARN  it is late hour=23 place="the office" empty=""\n']);
  });

  it("writes lines for machines", () => {
    const { log, lines } = logger("info", "json");
    log.error('a "quote"', { code: 7 });
    assert.deepEqual(JSON.parse(lines[0] as string), {
      time: "1970-01-01T00:00:00.000Z",
      level: "error",
      message: 'a "quote"',
      code: 7,
    });
  });

  it("keeps to its level, which may change", () => {
    const { log, lines } = logger("warn", "plain");
    log.info("unseen");
    log.level = "debug";
    log.debug("seen");
    assert.equal(lines.length, 1);
  });

  it("keeps a field from forging another line", () => {
    const { log, lines } = logger("info", "plain");
    log.info("path", { path: "/a\n1970 ERROR forged" });
    assert.equal((lines[0] as string).split("\n").length, 2);
  });

  it("leaves a terminal nothing to obey", () => {
    const { log, lines } = logger("info", "plain");
    log.info("refused", { by: "\x1b[2J", detail: "\x9b2Jno\x7f", name: "größer" });
    assert.match(lines[0] as string, / by="\\u001b\[2J" detail="\\u009b2Jno\\u007f" name=größer\n$/);
  });

  it("drops and counts lines while its reader is stuck", () => {
    const { log, lines, sink } = logger("info", "plain");
    sink.writableLength = LOG_BACKLOG_BYTES_MAX + 1;
    log.info("lost");
    sink.writableLength = 0;
    log.info("kept");
    assert.equal(lines.length, 1);
    assert.equal(log.dropped, 1);
  });
});
