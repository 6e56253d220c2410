/** The wire format of protobuf, as much as an ONNX file needs: fields are read one level deep and written; what is not understood is copied as it is. */

/** `value`: the number of a varint, or the bytes of what has a length. `raw`: the whole field, tag included. */
export type Field = { readonly number: number; readonly value: number | Uint8Array; readonly raw: Uint8Array };

/** The fields of a message, in their order. Throws on bytes that are none. */
export function* fieldsOf(message: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    // Numbers beyond 2^53 are none that we look at.
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new Error('the ONNX file is cut off');
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.byteLength) {
    const begin = at;
    const tag = varint();
    const number = Math.floor(tag / 8);
    const kind = tag % 8;
    let value: number | Uint8Array;
    if (kind === 0) value = varint();
    else {
      const length = kind === 2 ? varint() : kind === 1 ? 8 : kind === 5 ? 4 : -1;
      if (length < 0 || at + length > message.byteLength) throw new Error('the ONNX file is cut off or is none');
      value = message.subarray(at, at + length);
      at += length;
    }
    yield { number, value, raw: message.subarray(begin, at) };
  }
}

const varintBytes = (value: number): number[] => {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...bytes, left];
    bytes.push((left % 128) + 128);
  }
};

export const numberField = (number: number, value: number): Uint8Array =>
  Uint8Array.from([...varintBytes(number * 8), ...varintBytes(value)]);

/** A text, bytes, or a message whose parts are given. */
export function bytesField(number: number, value: string | Uint8Array | readonly Uint8Array[]): Uint8Array {
  const parts = typeof value === 'string' ? [Buffer.from(value)] : value instanceof Uint8Array ? [value] : value;
  const length = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  return Buffer.concat([Uint8Array.from([...varintBytes(number * 8 + 2), ...varintBytes(length)]), ...parts]);
}
