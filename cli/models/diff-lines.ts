import type { Json } from '../../core/json.ts';
import { bytes, count, table } from '../wording.ts';
import type { ManifestDiff } from './diff-manifests.ts';

/** Tensors that are named; `--json` names all. */
const shownTensors = 30;

type Row = readonly [string, string, string, string];

/** A comparison as a table of what changed, and a line of what stays. */
export function diffLines({ tensors, files, bytes: size, labels, options, metrics, origin, comparedBy }: ManifestDiff): string[] {
  const shaped = ({ dtype, shape }: { readonly dtype: string; readonly shape: readonly number[] }): string =>
    `${dtype} [${shape.join(', ')}]`;
  const ofTensors: Row[] = [
    ...tensors.added.map((one): Row => ['+ tensor', one.name, '-', `${shaped(one)} ${bytes(one.bytes)}`]),
    ...tensors.removed.map((one): Row => ['- tensor', one.name, `${shaped(one)} ${bytes(one.bytes)}`, '-']),
    ...tensors.changed.map(({ name, from, to }): Row => ['~ tensor', name, shaped(from), `${shaped(to)} ${bytes(to.bytes)}`]),
  ];
  const ofFields = (what: string, fields: ManifestDiff['options']): Row[] =>
    Object.entries(fields).map(([name, { from, to }]): Row => [`~ ${what}`, name, shown(from), shown(to)]);
  const rows: Row[] = [
    ...ofTensors.slice(0, shownTensors),
    ...files.added.map((path): Row => ['+ file', path, '-', '']),
    ...files.removed.map((path): Row => ['- file', path, '', '-']),
    ...files.changed.map((path): Row => ['~ file', path, '', '']),
    ...labels.added.map((label): Row => ['+ label', label, '-', '']),
    ...labels.removed.map((label): Row => ['- label', label, '', '-']),
    ...(labels.reordered ? [['~ labels', 'other order', '', ''] as const] : []),
    ...ofFields('option', options),
    ...ofFields('metric', metrics),
    ...ofFields('from', origin),
  ];
  const more = ofTensors.length - shownTensors;
  const { added, removed, changed, unchanged } = tensors;
  return [
    ...(rows.length > 0 ? [table(['what', 'name', 'was', 'is'], rows)] : ['no difference']),
    ...(more > 0 ? [`... and ${count(more)} more tensors: see --json`] : []),
    `tensors: ${count(added.length)} added, ${count(removed.length)} removed, ${count(changed.length)} changed (${bytes(size.tensors)}), ${count(unchanged)} the same`,
    ...(comparedBy === 'shard'
      ? ['one of the versions has no digests of tensors: those of a shard of which any changed count as changed']
      : []),
    `parts: ${bytes(size.fetched)} differ, ${bytes(size.shared)} are the same in both`,
  ];
}

const shown = (value: Json): string => {
  if (value === null) return '-';
  if (typeof value === 'number') return String(Math.round(value * 10_000) / 10_000);
  return typeof value === 'string' ? value : JSON.stringify(value);
};
