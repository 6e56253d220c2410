import { InferenceSession, Tensor } from '../onnx-runtime.ts';
import { describe, expect, it } from 'vitest';
import { graphFields, modelFields, tensorTypes, writeNode, writeTensor } from './graph-parts.ts';
import { quantizeGraph } from './quantize-graph.ts';
import { bytesField, fieldsOf, numberField } from './wire.ts';

const [rows, columns] = [96, 8];
const valueOf = (i: number): number => Math.sin(i * 12.9898) * 3;
const weight = Float32Array.from({ length: rows * columns }, (_, i) => valueOf(i));

/** A value of floats, as graph.input (11) or graph.output (12) declares it. */
const declared = (field: number, name: string, dims: readonly (string | number)[]): Uint8Array =>
  bytesField(field, [
    bytesField(1, name),
    bytesField(2, [
      bytesField(1, [
        numberField(1, tensorTypes.float),
        bytesField(
          2,
          dims.map((dim) => bytesField(1, [typeof dim === 'string' ? bytesField(2, dim) : numberField(1, dim)])),
        ),
      ]),
    ]),
  ]);

/** `out` = x · w; where `shared`, w is also the left side of another product. */
function model(shared: boolean): Uint8Array {
  const nodes = [
    writeNode({ operator: 'MatMul', inputs: ['x', 'w'], outputs: ['out'] }),
    ...(shared ? [writeNode({ operator: 'MatMul', inputs: ['w', 'eye'], outputs: ['again'] })] : []),
  ];
  const tensors = [
    writeTensor({ name: 'w', type: tensorTypes.float, dims: [rows, columns], data: new Uint8Array(weight.buffer) }),
    writeTensor({
      name: 'eye',
      type: tensorTypes.float,
      dims: [columns, 1],
      data: new Uint8Array(new Float32Array(columns).fill(1).buffer),
    }),
  ];
  const graph = bytesField(modelFields.graph, [
    ...nodes,
    bytesField(2, 'graph'),
    ...tensors.slice(0, shared ? 2 : 1),
    declared(11, 'x', ['batch', rows]),
    declared(12, 'out', ['batch', columns]),
    ...(shared ? [declared(12, 'again', [rows, 1])] : []),
  ]);
  return Buffer.concat([numberField(1, 10), graph, bytesField(modelFields.opset, [numberField(2, 20)])]);
}

async function run(bytes: Uint8Array, x: readonly Float32Array[], output = 'out'): Promise<Float32Array> {
  const session = await InferenceSession.create(bytes);
  const data = Float32Array.from(x.flatMap((row) => [...row]));
  return (await session.run({ x: new Tensor('float32', data, [x.length, rows]) }))[output]?.data as Float32Array;
}

const row = (from: number, size: number): Float32Array => Float32Array.from({ length: rows }, (_, i) => valueOf(from + i * 7) * size);

describe('a graph in 8-bit integers', () => {
  it('computes nearly the same, each row by itself whatever the others are, and a row of zeros too', async () => {
    const [exact, small] = [model(false), quantizeGraph(model(false))];
    const [one, huge, zero] = [row(5, 1), row(900, 1_000), new Float32Array(rows)];
    const [right, alone, together] = [await run(exact, [one]), await run(small, [one]), await run(small, [huge, one, zero])];
    const size = Math.max(...right.map(Math.abs));
    right.forEach((value, i) => expect(Math.abs(value - (alone[i] as number)) / size).toBeLessThan(0.03));
    expect([...alone]).not.toEqual([...right]);
    // The row beside it is a thousand times as large: with one scale for both, nothing of this one would be left.
    alone.forEach((value, i) => expect(together[columns + i]).toBeCloseTo(value, 4));
    expect([...together.subarray(2 * columns)]).toEqual(Array.from({ length: columns }, () => 0));
  });

  it('is smaller by the weights, save those that something else reads', async () => {
    const tensorNames = (bytes: Uint8Array): number => {
      const graph = [...fieldsOf(bytes)].find(({ number }) => number === modelFields.graph)?.value as Uint8Array;
      return [...fieldsOf(graph)].filter(({ number, raw }) => number === graphFields.initializer && raw.byteLength > weight.byteLength)
        .length;
    };
    expect([tensorNames(quantizeGraph(model(false))), tensorNames(quantizeGraph(model(true)))]).toEqual([0, 1]);
    const sums = await run(quantizeGraph(model(true)), [row(1, 1)], 'again');
    sums.forEach((sum, i) =>
      expect(sum).toBeCloseTo(
        weight.subarray(i * columns, (i + 1) * columns).reduce((a, b) => a + b),
        3,
      ),
    );
  });

  it('is none where there is nothing to quantize, or no ONNX file', () => {
    expect(() => quantizeGraph(quantizeGraph(model(false)))).toThrow('serve it in f32');
    expect(() => quantizeGraph(model(false).subarray(0, 900))).toThrow('cut off');
    expect(() => quantizeGraph(new Uint8Array())).toThrow('no graph');
  });
});
