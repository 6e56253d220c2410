import { normalisedText } from '../dataset/split.ts';

/** Texts shorter than this are compared as a whole only: short ones are alike by nature, such as "play X by Y". */
const minimumLength = 120;
/** What comes after so many characters is not compared. */
const maximumLength = 4_000;
/** Pieces of a text have so many characters. */
const pieceLength = 12;
/** So many pieces stand for a text: those with the lowest hashes, so that equal parts of two texts are stood for by equal pieces. */
const piecesKept = 24;
/** A piece of more evaluation rows than this is of a form letter or a signature: it says nothing of the row. */
const mostHolders = 10;
/** A text that keeps fewer pieces of its own is compared as a whole only. */
const fewestPieces = 8;
/** A text that holds this share of another's pieces is nearly the same. */
const alikeShare = 0.8;

/** Finds evaluation rows that were also learned: rows of the training side with the same text, or nearly the same where it is long. */
export class LeakedRows {
  readonly #byText = new Map<string, string[]>();
  readonly #byPiece = new Map<number, { id: string; kept: number }[]>();
  readonly #leaked = new Set<string>();
  #pruned = false;

  /** All evaluation rows come first. */
  addEvaluation(id: string, text: string): void {
    const key = normalisedText(text);
    const same = this.#byText.get(key);
    if (same) same.push(id);
    else this.#byText.set(key, [id]);
    if (key.length < minimumLength) return;
    const pieces = [...piecesOf(key)].sort((a, b) => a - b).slice(0, piecesKept);
    const row = { id, kept: pieces.length };
    for (const piece of pieces) {
      const rows = this.#byPiece.get(piece);
      if (rows) rows.push(row);
      else this.#byPiece.set(piece, [row]);
    }
  }

  addTraining(text: string): void {
    const key = normalisedText(text);
    for (const id of this.#byText.get(key) ?? []) this.#leaked.add(id);
    if (key.length < minimumLength) return;
    this.#prune();
    const shared = new Map<string, number>();
    for (const piece of piecesOf(key)) {
      for (const { id, kept } of this.#byPiece.get(piece) ?? []) {
        const count = (shared.get(id) ?? 0) + 1;
        shared.set(id, count);
        if (kept >= fewestPieces && count >= kept * alikeShare) this.#leaked.add(id);
      }
    }
  }

  #prune(): void {
    if (this.#pruned) return;
    this.#pruned = true;
    for (const [piece, rows] of this.#byPiece) {
      if (rows.length <= mostHolders) continue;
      for (const row of rows) row.kept -= 1;
      this.#byPiece.delete(piece);
    }
  }

  /** Ids of the evaluation rows that were learned, in order. */
  get ids(): readonly string[] {
    return [...this.#leaked].sort();
  }
}

/** Hashes of all pieces of a text, each once: a polynomial hash that rolls over it, mixed so that low hashes are spread evenly. */
function piecesOf(text: string): Set<number> {
  const base = 0x01000193;
  let leaving = 1;
  for (let i = 0; i < pieceLength; i++) leaving = Math.imul(leaving, base);
  const found = new Set<number>();
  let hash = 0;
  for (let i = 0; i < Math.min(text.length, maximumLength); i++) {
    hash = (Math.imul(hash, base) + text.charCodeAt(i)) | 0;
    if (i >= pieceLength) hash = (hash - Math.imul(leaving, text.charCodeAt(i - pieceLength))) | 0;
    if (i < pieceLength - 1) continue;
    let mixed = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
    found.add((mixed ^ (mixed >>> 16)) >>> 0);
  }
  return found;
}
