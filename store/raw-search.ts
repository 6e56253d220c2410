import { createHash } from 'node:crypto';

/**
 * Finds texts in raw bytes without having the texts: of each only its length, a rolling hash of a few of its bytes and a salted digest are kept. The
 * rolling hash says where a text may be, the digest of the bytes there says whether it is one.
 */
export type Needle = {
  /** Which text it is a way of writing of. */
  readonly text: number;
  readonly bytes: number;
  /** Of `width` bytes from `at` on. */
  readonly hash: number;
  readonly width: number;
  readonly at: number;
  readonly sha256: string;
};

/** Bytes that the rolling hash sees; of a shorter text fewer. */
const widths = [16, 8] as const;
/** A shorter text is found in any large file by chance: it is not looked for. */
export const leastBytes = 8;
const factor = 0x01000193;
/** So much is looked through at once. */
const pieceBytes = 4 * 1_024 * 1_024;

const saltedDigest = (salt: string, bytes: Uint8Array): string => createHash('sha256').update(`${salt}\n`).update(bytes).digest('hex');

/** The ways in which programs write a text: plain, and in JSON with all but what must be escaped left alone, or with ASCII only. */
function waysToWrite(text: string): Buffer[] {
  const json = JSON.stringify(text).slice(1, -1);
  const ascii = json.replace(/[\u0080-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return [...new Set([text, json, ascii])].map((way) => Buffer.from(way, 'utf8')).filter(({ byteLength }) => byteLength >= leastBytes);
}

function hashOf(bytes: Uint8Array, from: number, width: number): number {
  let hash = 0;
  for (let i = from; i < from + width; i++) hash = (Math.imul(hash, factor) + (bytes[i] ?? 0)) | 0;
  return hash;
}

/** Texts that are too short to be told from chance are left out. `first`: the number of the first text. */
export function needlesOf(texts: readonly string[], salt: string, first = 0): Needle[] {
  return texts.flatMap((text, i) =>
    waysToWrite(text).map((bytes): Needle => {
      const width = widths.find((one) => one <= bytes.byteLength) ?? leastBytes;
      // Texts often begin and end alike: the middle tells more of them apart.
      const at = (bytes.byteLength - width) >> 1;
      return { text: first + i, bytes: bytes.byteLength, hash: hashOf(bytes, at, width), width, at, sha256: saltedDigest(salt, bytes) };
    }),
  );
}

/** Looks through one object after another; `found` has the numbers of the texts that any of them held. */
export class RawSearch {
  readonly found = new Set<number>();
  readonly #salt: string;
  readonly #longest: number;
  readonly #byWidth: readonly {
    readonly width: number;
    readonly filter: Uint8Array;
    readonly needles: ReadonlyMap<number, readonly Needle[]>;
  }[];

  constructor(needles: readonly Needle[], salt: string) {
    this.#salt = salt;
    this.#longest = needles.reduce((most, { bytes }) => Math.max(most, bytes), 0);
    this.#byWidth = widths.flatMap((width) => {
      const of = Map.groupBy(
        needles.filter((needle) => needle.width === width),
        ({ hash }) => hash,
      );
      if (of.size === 0) return [];
      const filter = new Uint8Array(65_536);
      for (const hash of of.keys()) filter[hash >>> 16] = 1;
      return [{ width, filter, needles: of }];
    });
  }

  /** Bytes that were read. A text that lies across the ends of pieces is found too. */
  async read(chunks: AsyncIterable<Uint8Array>): Promise<number> {
    let total = 0;
    let kept: Buffer = Buffer.alloc(0);
    let waiting: Uint8Array[] = [];
    let size = 0;
    const look = (): void => {
      const piece = Buffer.concat([kept, ...waiting]);
      this.bytes(piece);
      kept = piece.subarray(Math.max(0, piece.byteLength - this.#longest + 1));
      waiting = [];
      size = 0;
    };
    for await (const chunk of chunks) {
      waiting.push(chunk);
      size += chunk.byteLength;
      total += chunk.byteLength;
      if (size >= pieceBytes) look();
    }
    look();
    return total;
  }

  bytes(data: Uint8Array): void {
    for (const { width, filter, needles } of this.#byWidth) {
      let out = 1;
      for (let i = 0; i < width; i++) out = Math.imul(out, factor);
      let hash = 0;
      for (let end = 0; end < data.byteLength; end++) {
        hash = (Math.imul(hash, factor) + (data[end] as number)) | 0;
        if (end >= width) hash = (hash - Math.imul(data[end - width] as number, out)) | 0;
        if (end + 1 < width || filter[hash >>> 16] === 0) continue;
        for (const needle of needles.get(hash) ?? []) this.#confirm(data, end + 1 - width - needle.at, needle);
      }
    }
  }

  #confirm(data: Uint8Array, from: number, { text, bytes, sha256 }: Needle): void {
    if (this.found.has(text) || from < 0 || from + bytes > data.byteLength) return;
    if (saltedDigest(this.#salt, data.subarray(from, from + bytes)) === sha256) this.found.add(text);
  }
}
