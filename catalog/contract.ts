import type { Json } from '../core/json.ts';
import type { LabelMetrics } from '../core/model.ts';

/** An example's answer fields, or an output of `predict`. */
export type Answer = { readonly [field: string]: Json };

/** One evaluation row: what is right, and what was answered. */
export type EvaluatedRow = { readonly expected: Answer; readonly predicted: Answer };

export type Measured = {
  /** Named figures; the manifest's `metric` is one of them. Every one is finite, also for no rows. */
  readonly values: Readonly<Record<string, number>>;
  /** Of the labels that the rows' right answers have; empty where answers have no labels. */
  readonly perLabel: Readonly<Record<string, LabelMetrics>>;
};

/** What evaluation.ts of a business model exports: the only place where its answers are judged. Pure: equal rows give equal figures. */
export type Evaluation = {
  /** How right an answer is, 0 to 1: what the paired test compares row by row. */
  readonly credit: (expected: Answer, predicted: Answer) => number;
  readonly measure: (rows: readonly EvaluatedRow[]) => Measured;
  /** Answers with equal keys are the same answer: scores and quoted texts do not count. */
  readonly answerKey: (predicted: Answer) => string;
  /** What was taken for what in a row that is not right, for the list of confusions. `-` stands for nothing. */
  readonly confusions?: (expected: Answer, predicted: Answer) => readonly (readonly [expected: string, predicted: string])[];
  /** What is wrong with an example that fits the example schema; null: nothing. `message` is a word such as `overlap`, never a value. */
  readonly exampleProblem?: (example: Answer) => FieldProblem | null;
  /** The same of an input of `predict` that fits the schema of its fields. */
  readonly inputProblem?: (input: Answer) => FieldProblem | null;
  /** The input that a plain text stands for; absent: the text is the first input field. */
  readonly inputOf?: (text: string) => Answer;
  /** The example that an input and its right answer make; absent: their fields together. */
  readonly exampleOf?: (input: Answer, answer: Answer) => Answer;
};

type FieldProblem = { readonly pointer: string; readonly message: string };

export type Tensor = { readonly shape: readonly number[]; readonly data: Float32Array };

/** Tokens of a text with their vectors, special tokens left out. */
export type TokenEmbeddings = {
  /** One row of `dim` numbers a token. */
  readonly data: Float32Array;
  /** Code points of the text that each token stands for, without white space around it; `end` is not included. */
  readonly spans: readonly { readonly start: number; readonly end: number }[];
};

/** The encoder of a version, with its number of tokens and its prefix: shared by all models that start from it. */
export type SharedEncoder = {
  readonly dim: number;
  /** One vector of length 1 a text. */
  embed(texts: readonly string[]): Promise<readonly Float32Array[]>;
  embedTokens(texts: readonly string[]): Promise<readonly TokenEmbeddings[]>;
  /** The base of versions of business models with `base: causal-lm`, which have no encoder. */
  decoder?(): Promise<SharedDecoder>;
};

/** Keys and values of tokens that were read, which need not be computed again. */
export type Past = { readonly tokens: number; readonly data: Float32Array };

/** A causal language model that many versions share: each brings what it adds to the linear maps. */
export type SharedDecoder = {
  readonly vocabulary: number;
  /** `special`: whether special tokens that the text spells out are read as such; else they are plain text. */
  readonly encode: (text: string, special: boolean) => readonly number[];
  readonly decode: (ids: readonly number[]) => string;
  /**
   * Reads tokens behind `past`; `logits` has `vocabulary` numbers for each of the `wanted` ones (one at least), which are places in `ids`.
   * `additions`: `lora_a.NAME` [layers, rank, in] and `lora_b.NAME` [layers, out, rank] of each linear map.
   */
  read(asked: {
    readonly ids: readonly number[];
    readonly past: Past | null;
    readonly wanted: readonly number[];
    readonly additions: Readonly<Record<string, Tensor>>;
  }): Promise<{ readonly logits: Float32Array; readonly past: Past }>;
};

/** What a published version consists of, besides its encoder. */
export type ModelParts = {
  /** answering.json, as the trainer wrote it. */
  readonly answering: { readonly [name: string]: Json };
  readonly dim: number;
  /** A tensor of the version as 32-bit floats; fails with its name where there is none. */
  tensor(name: string): Promise<Tensor>;
};

export type Answerer = {
  /** Memory that it takes. */
  readonly bytes: number;
  /** One output an input, in their order. `topK`: how many alternatives an output may list. */
  answer(inputs: readonly Answer[], encoder: SharedEncoder, options: { readonly topK: number }): Promise<Answer[]>;
};

/** What answer.ts of a business model exports. */
export type LoadAnswerer = (parts: ModelParts) => Promise<Answerer>;

/** The text of an input's field; '' where there is none. */
export const textOf = (input: Answer, field = 'text'): string => {
  const text = input[field];
  return typeof text === 'string' ? text : '';
};
