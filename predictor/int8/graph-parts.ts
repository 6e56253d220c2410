import { bytesField, fieldsOf, numberField } from './wire.ts';

/** Numbers of fields, from onnx.proto. */
export const modelFields = { graph: 7, opset: 8 } as const;
export const graphFields = { node: 1, initializer: 5 } as const;
const nodeFields = { input: 1, output: 2, operator: 4, attribute: 5, domain: 7 } as const;
const tensorFields = { dims: 1, type: 2, name: 8, data: 9 } as const;
const integerAttribute = 2;

/** Types of tensors, from onnx.proto. */
export const tensorTypes = { float: 1, uint8: 2, int8: 3, int64: 7 } as const;
/** Operators of ONNX Runtime's own. */
export const microsoft = 'com.microsoft';

export type Node = { readonly operator: string; readonly inputs: readonly string[]; readonly outputs: readonly string[] };
export type GraphTensor = { readonly name: string; readonly type: number; readonly dims: readonly number[]; readonly data: Uint8Array };

const textOf = (value: number | Uint8Array): string => (typeof value === 'number' ? '' : Buffer.from(value).toString('utf8'));

export function readNode(bytes: Uint8Array): Node {
  const fields = [...fieldsOf(bytes)];
  const texts = (number: number): string[] => fields.filter((field) => field.number === number).map(({ value }) => textOf(value));
  return { operator: texts(nodeFields.operator)[0] ?? '', inputs: texts(nodeFields.input), outputs: texts(nodeFields.output) };
}

export function writeNode(
  node: Node,
  options: { readonly domain?: string; readonly integers?: Readonly<Record<string, number>> } = {},
): Uint8Array {
  const { domain, integers = {} } = options;
  return bytesField(graphFields.node, [
    ...node.inputs.map((name) => bytesField(nodeFields.input, name)),
    ...node.outputs.map((name) => bytesField(nodeFields.output, name)),
    bytesField(nodeFields.operator, node.operator),
    ...Object.entries(integers).map(([name, value]) =>
      bytesField(nodeFields.attribute, [bytesField(1, name), numberField(3, value), numberField(20, integerAttribute)]),
    ),
    ...(domain === undefined ? [] : [bytesField(nodeFields.domain, domain)]),
  ]);
}

/** An initializer; null where its numbers are not in the file as they are in memory. */
export function readTensor(bytes: Uint8Array): GraphTensor | null {
  const dims: number[] = [];
  let [name, type]: [string, number] = ['', 0];
  let data: Uint8Array | null = null;
  for (const { number, value } of fieldsOf(bytes)) {
    if (number === tensorFields.dims && typeof value === 'number') dims.push(value);
    if (number === tensorFields.type && typeof value === 'number') type = value;
    if (number === tensorFields.name) name = textOf(value);
    if (number === tensorFields.data && typeof value !== 'number') data = value;
  }
  return data === null ? null : { name, type, dims, data };
}

export const writeTensor = ({ name, type, dims, data }: GraphTensor): Uint8Array =>
  bytesField(graphFields.initializer, [
    ...dims.map((dim) => numberField(tensorFields.dims, dim)),
    numberField(tensorFields.type, type),
    bytesField(tensorFields.name, name),
    bytesField(tensorFields.data, data),
  ]);
