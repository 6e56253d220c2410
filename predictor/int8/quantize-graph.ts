import {
  type GraphTensor,
  graphFields,
  microsoft,
  modelFields,
  readNode,
  readTensor,
  tensorTypes,
  writeNode,
  writeTensor,
} from './graph-parts.ts';
import { bytesField, fieldsOf, numberField } from './wire.ts';

/**
 * Weights have 7 bits: processors without instructions for 8-bit products (VNNI) add pairs of them in 16 bits, which 8 bits can overflow. So every
 * processor computes the same.
 */
const weightLevels = 63;
const inputLevels = 127;
/** Smaller matrices are no time. */
const smallestRows = 64;
/** Of a row of zeros, the scale must not be 0. */
const smallestScale = 1e-12;

const names = {
  one: 'int8_one',
  middle: 'int8_middle',
  zero: 'int8_zero',
  step: 'int8_step',
  smallest: 'int8_smallest',
  last: 'int8_last',
};
const bytesOf = (view: ArrayBufferView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const constants: readonly GraphTensor[] = [
  { name: names.one, type: tensorTypes.float, dims: [], data: bytesOf(Float32Array.of(1)) },
  { name: names.middle, type: tensorTypes.uint8, dims: [], data: Uint8Array.of(128) },
  { name: names.zero, type: tensorTypes.int8, dims: [], data: Uint8Array.of(0) },
  { name: names.step, type: tensorTypes.float, dims: [], data: bytesOf(Float32Array.of(1 / inputLevels)) },
  { name: names.smallest, type: tensorTypes.float, dims: [], data: bytesOf(Float32Array.of(smallestScale)) },
  { name: names.last, type: tensorTypes.int64, dims: [1], data: bytesOf(BigInt64Array.of(-1n)) },
];

/**
 * The graph with its large matrix products in 8-bit integers. Weights get a scale a column; inputs get one a row, that is, a token, when they come: the
 * usual scale for a whole input would make an answer depend on what other texts are in its pass.
 */
export function quantizeGraph(model: Uint8Array): Uint8Array {
  const parts = [...fieldsOf(model)];
  const graph = parts.find(({ number }) => number === modelFields.graph)?.value;
  if (!(graph instanceof Uint8Array)) throw new Error('the ONNX file has no graph');
  const fields = [...fieldsOf(graph)].map(({ number, value, raw }) => ({ number, raw, bytes: value instanceof Uint8Array ? value : raw }));
  const nodes = fields.flatMap(({ number, raw, bytes }) => (number === graphFields.node ? [{ raw, node: readNode(bytes) }] : []));
  const tensors = new Map(
    fields.flatMap(({ number, bytes }) => {
      const tensor = number === graphFields.initializer ? readTensor(bytes) : null;
      return tensor ? [[tensor.name, tensor] as const] : [];
    }),
  );
  const isWeight = (name = ''): boolean => {
    const tensor = tensors.get(name);
    return tensor?.type === tensorTypes.float && tensor.dims.length === 2 && (tensor.dims[0] ?? 0) >= smallestRows;
  };
  const scaled = new Map<string, string>();
  const quantized = new Set<string>();
  const added = constants.map(writeTensor);
  const written: Uint8Array[] = [];
  for (const { raw, node } of nodes) {
    const [input = '', weight = ''] = node.inputs;
    const [output = ''] = node.outputs;
    if (node.operator !== 'MatMul' || !isWeight(weight)) {
      written.push(raw);
      continue;
    }
    const known = scaled.get(input);
    const prefix = known ?? `int8_${scaled.size}`;
    if (known === undefined) written.push(...quantizeRows(input, prefix));
    scaled.set(input, prefix);
    if (!quantized.has(weight)) added.push(...quantizeColumns(tensors.get(weight) as GraphTensor).map(writeTensor));
    quantized.add(weight);
    const inputs = [`${prefix}_rows`, `${weight}_int8`, names.one, `${weight}_scales`, names.middle, names.zero];
    written.push(
      writeNode({ operator: 'MatMulIntegerToFloat', inputs, outputs: [`${output}_unscaled`] }, { domain: microsoft }),
      writeNode({ operator: 'Mul', inputs: [`${output}_unscaled`, `${prefix}_scales`], outputs: [output] }),
    );
  }
  if (quantized.size === 0) throw new Error('the encoder has no matrix products to compute in 8-bit integers: serve it in f32');
  // What something else reads too must stay.
  const read = new Set(
    nodes.flatMap(({ node }) =>
      node.operator === 'MatMul' && quantized.has(node.inputs[1] ?? '') ? node.inputs.slice(0, 1) : node.inputs,
    ),
  );
  const kept = fields.filter(({ number, bytes }) => {
    if (number === graphFields.node) return false;
    const name = number === graphFields.initializer ? readTensor(bytes)?.name : undefined;
    return name === undefined || !quantized.has(name) || read.has(name);
  });
  const newGraph = bytesField(modelFields.graph, [...written, ...kept.map(({ raw }) => raw), ...added]);
  const opset = bytesField(modelFields.opset, [bytesField(1, microsoft), numberField(2, 1)]);
  return Buffer.concat([...parts.filter(({ number }) => number !== modelFields.graph).map(({ raw }) => raw), newGraph, opset]);
}

/** Nodes that make `PREFIX_rows` (uint8 around 128) and `PREFIX_scales` (one a row) of an input. */
function quantizeRows(input: string, prefix: string): Uint8Array[] {
  const node = (operator: string, inputs: readonly string[], output: string, integers: Readonly<Record<string, number>> = {}): Uint8Array =>
    writeNode({ operator, inputs, outputs: [`${prefix}_${output}`] }, { integers });
  return [
    node('Abs', [input], 'sizes'),
    node('ReduceMax', [`${prefix}_sizes`, names.last], 'largest', { keepdims: 1 }),
    node('Mul', [`${prefix}_largest`, names.step], 'steps'),
    node('Max', [`${prefix}_steps`, names.smallest], 'scales'),
    node('Div', [input, `${prefix}_scales`], 'even'),
    node('QuantizeLinear', [`${prefix}_even`, names.one, names.middle], 'rows'),
  ];
}

/** A matrix as int8 with a scale a column. */
function quantizeColumns({ name, dims: [rows = 0, columns = 0], data }: GraphTensor): GraphTensor[] {
  const values = new Float32Array(new Uint8Array(data).buffer);
  const scales = new Float32Array(columns);
  const levels = new Int8Array(values.length);
  for (let column = 0; column < columns; column++) {
    let largest = 0;
    for (let at = column; at < values.length; at += columns) largest = Math.max(largest, Math.abs(values[at] as number));
    const scale = Math.max(largest / weightLevels, smallestScale);
    for (let at = column; at < values.length; at += columns) levels[at] = Math.round((values[at] as number) / scale);
    scales[column] = scale;
  }
  return [
    { name: `${name}_int8`, type: tensorTypes.int8, dims: [rows, columns], data: bytesOf(levels) },
    { name: `${name}_scales`, type: tensorTypes.float, dims: [columns], data: bytesOf(scales) },
  ];
}
