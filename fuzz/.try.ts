import { fuzz } from "/tmp/wt/attacks/fuzz/run.ts";
import { readCorpus, saveFailure } from "/tmp/wt/attacks/fuzz/corpus.ts";
const [, , file, name, ms = "5000", seed = "1"] = process.argv;
const mod = await import(`/tmp/wt/attacks/fuzz/targets/${file}.ts`);
const target: any = Object.values(mod).find((x: any) => typeof x === "object" && x.name === name);
const out = await fuzz(
  target,
  readCorpus(name!).map((s) => s.input),
  Number(seed),
  { runs: Infinity, milliseconds: Number(ms) },
);
console.log(out.runs, out.kinds);
if (out.failure) {
  console.log(JSON.stringify(out.failure.input.toString("latin1")), out.failure.error.stack?.slice(0, 3000));
}
