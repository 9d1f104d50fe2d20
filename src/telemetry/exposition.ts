/** Snapshots: those of several workers made into one, and printed. */
import type { FamilySnapshot, HistogramSample, Sample, StaleSeries } from "./snapshot.ts";

/**
 * One set of metrics out of several: series with the same name and labels are added up, or, for a family that says so,
 * become the mean over those who have them. The order is that of first appearance.
 */
export function mergeSnapshots(parts: readonly (readonly FamilySnapshot[])[]): FamilySnapshot[] {
  const byName = new Map<string, FamilySnapshot[]>();
  for (const family of parts.flat()) {
    const same = byName.get(family.name);
    if (same === undefined) byName.set(family.name, [family]);
    else same.push(family);
  }
  return [...byName.values()].map(mergeFamily);
}

/** What can be forgotten: a series of several workers only when none of them uses it, or the sum would seem to restart. */
export function staleSeries(families: readonly FamilySnapshot[]): StaleSeries[] {
  return families.filter(({ stale }) => stale.length > 0).map(({ name, stale }) => ({ name, series: stale }));
}

/** In the Prometheus text format 0.0.4. */
export function exposition(families: readonly FamilySnapshot[]): string {
  const lines: string[] = [];
  for (const family of families) {
    lines.push(`# HELP ${family.name} ${family.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
    lines.push(`# TYPE ${family.name} ${family.kind}`);
    for (const [labels, sample] of family.series) print(lines, family.name, labels, sample);
  }
  lines.push("");
  return lines.join("\n");
}

function mergeFamily(families: readonly FamilySnapshot[]): FamilySnapshot {
  const [first] = families as [FamilySnapshot];
  if (families.length === 1) return first;
  const samples = new Map<string, Sample[]>();
  for (const { series } of families) {
    for (const [labels, sample] of series) {
      const same = samples.get(labels);
      if (same === undefined) samples.set(labels, [sample]);
      else same.push(sample);
    }
  }
  const series = new Map<string, Sample>();
  for (const [labels, same] of samples) series.set(labels, mergeSamples(same, first.across === "mean"));
  return { ...first, series, stale: staleInAll(families) };
}

function staleInAll(families: readonly FamilySnapshot[]): string[] {
  const all = new Set(families.flatMap(({ stale }) => stale));
  for (const { series, stale } of families) {
    if (all.size === 0) break;
    const here = new Set(stale);
    for (const labels of all) if (series.has(labels) && !here.has(labels)) all.delete(labels);
  }
  return [...all];
}

function mergeSamples(samples: readonly Sample[], mean: boolean): Sample {
  const [first] = samples as [Sample];
  if (samples.length === 1) return first;
  if (isHistogram(first)) return addHistograms(samples.filter(isHistogram));
  let value = 0;
  for (const sample of samples) if (!isHistogram(sample)) value += sample.value;
  return { value: mean ? value / samples.length : value };
}

/** They come from the same program, so their bounds are the same. */
function addHistograms(samples: readonly HistogramSample[]): HistogramSample {
  const [{ bounds, counts: first }] = samples as [HistogramSample];
  const counts = new Float64Array(first.length);
  let sum = 0;
  for (const sample of samples) {
    sample.counts.forEach((count, index) => (counts[index] = (counts[index] as number) + count));
    sum += sample.sum;
  }
  return { bounds, counts, sum };
}

function isHistogram(sample: Sample): sample is HistogramSample {
  return "counts" in sample;
}

function print(lines: string[], name: string, labels: string, sample: Sample): void {
  if (!isHistogram(sample)) {
    lines.push(labels === "" ? `${name} ${sample.value}` : `${name}{${labels}} ${sample.value}`);
    return;
  }
  const open = labels === "" ? "{" : `{${labels},`;
  let count = 0;
  sample.bounds.forEach((bound, i) => {
    count += sample.counts[i] as number;
    lines.push(`${name}_bucket${open}le="${bound}"} ${count}`);
  });
  count += sample.counts[sample.bounds.length] as number;
  lines.push(`${name}_bucket${open}le="+Inf"} ${count}`);
  const suffix = labels === "" ? "" : `{${labels}}`;
  lines.push(`${name}_sum${suffix} ${sample.sum}`, `${name}_count${suffix} ${count}`);
}
