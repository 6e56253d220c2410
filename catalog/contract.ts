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
  readonly exampleProblem?: (example: Answer) => { readonly pointer: string; readonly message: string } | null;
};

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
