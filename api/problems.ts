/** Every problem that the API answers with: status, title and what to do. docs/08-errors.md is made from this table. */
export const problems = {
  invalid_request: [400, 'The request is not valid', 'Correct the fields that `errors` names.'],
  not_json: [400, 'The body is not JSON', 'Send JSON in UTF-8 with `content-type: application/json`.'],
  not_ndjson: [400, 'No line of the body is JSON', 'Send one JSON object a line, in UTF-8, with `content-type: application/x-ndjson`.'],
  not_csv: [
    400,
    'The body is not CSV',
    'Send a header line with `text` and `label`, then one example a record, in UTF-8, with `content-type: text/csv`.',
  ],
  bad_cursor: [400, 'The cursor is not one of ours', 'Use `nextCursor` of the page before, unchanged.'],
  unauthorized: [401, 'The key is missing or not valid', 'Send `Authorization: Bearer <key>`.'],
  forbidden: [403, 'This key may not do that', 'Use the operator key for tenants and keys, a tenant key for everything else.'],
  not_found: [404, 'There is no such thing', 'Check the id; things of other tenants are not shown.'],
  unknown_business_model: [422, 'The catalogue has no such business model', 'Choose one of `GET /v1/business-models`.'],
  invalid_options: [422, 'The options do not fit the business model', 'See its `optionSchema`.'],
  invalid_policy: [422, 'The policy is not valid', 'See the knobs in the documentation of policies.'],
  invalid_example: [422, 'The example does not fit the business model', 'See its `exampleSchema`.'],
  invalid_source: [
    422,
    'The mapping does not fit the table',
    'Correct what `errors` names; `GET /v1/sources` shows the tables and columns.',
  ],
  source_not_ready: [422, 'The table cannot be a source yet', 'Each of `errors` is one thing that is wrong, with what mends it.'],
  mapped_source: [
    409,
    'The examples come from a table of your own',
    'Insert, change and delete rows in that table: its changes are sensed there.',
  ],
  rows_not_deleted: [
    409,
    'The rows are in your table still',
    'Delete those that `errors` names in that table, then ask again: whatever is there is learned.',
  ],
  source_unreadable: [
    409,
    'The mapped table cannot be read as it is mapped',
    'The detail says what was changed; map it anew or restore it.',
  ],
  exists: [409, 'It exists already', 'Choose another id, or change the one that exists.'],
  version_conflict: [412, 'It was changed meanwhile', 'Read it again and repeat the change with the new ETag.'],
  no_model_yet: [409, 'No version serves yet', 'Give examples and wait for the first version: `GET .../status` says how far it is.'],
  version_removed: [410, 'The version was removed from the store', 'Take a newer version; an operator can hold those that must stay.'],
  refused: [409, 'The platform refuses this now', 'The detail says why.'],
  idempotency_key_reused: [422, 'The Idempotency-Key was used for another request', 'Use a new key for a new request.'],
  in_progress: [409, 'The first request with this Idempotency-Key is still being answered', 'Ask again in a moment.'],
  unsupported_media_type: [415, 'The content type is not supported here', 'The detail names the types that are.'],
  too_large: [413, 'The body is too large', 'Send less at once, or use `examples:import`, which streams.'],
  temporal_unavailable: [
    503,
    'The workflow service does not answer',
    'Nothing is lost: examples can still be sent, and learning goes on when it is back.',
  ],
  predictor_unavailable: [503, 'The predictor does not answer', 'Try again in a moment.'],
  predictor_overloaded: [503, 'Too many texts wait for an answer', 'Ask again after the seconds of `Retry-After`, or for less at once.'],
  store_unavailable: [503, 'The object store does not answer', 'Try again in a moment.'],
  database_unavailable: [
    503,
    'The database does not answer',
    'Nothing was stored that was not acknowledged: send the request again in a moment.',
  ],
  internal: [500, 'Something is wrong here, not with your request', 'The log of the API says more: `mw logs api`.'],
} as const satisfies Record<string, readonly [status: number, title: string, remedy: string]>;

export type ProblemCode = keyof typeof problems;
export type FieldError = {
  readonly pointer?: string;
  readonly line?: number;
  readonly index?: number;
  readonly message: string;
};

/** Thrown anywhere in a request: becomes an application/problem+json answer. Never carries row text or secrets. */
export class Problem extends Error {
  override name = 'Problem';
  readonly code: ProblemCode;
  readonly errors: readonly FieldError[];
  /** When to ask again, where that is known. */
  readonly retryAfterSeconds: number | null;
  constructor(code: ProblemCode, detail?: string, errors: readonly FieldError[] = [], retryAfterSeconds: number | null = null) {
    super(detail ?? problems[code][2]);
    this.code = code;
    this.errors = errors;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  get status(): number {
    return problems[this.code][0];
  }

  get body(): Record<string, unknown> {
    const [status, title] = problems[this.code];
    const type = `https://modelwright.dev/errors/${this.code}`;
    return { type, title, status, detail: this.message, code: this.code, errors: this.errors };
  }
}

/** docs/08-errors.md. */
export function errorsPage(): string {
  const rows = Object.entries(problems).map(([code, [status, title, remedy]]) => `| \`${code}\` | ${status} | ${title} | ${remedy} |`);
  return [
    '# Errors',
    '',
    'Made from `api/problems.ts` by `node api/write-docs.ts`. Every error is `application/problem+json` with `code` from this table, a `detail` for',
    'this very request, and `errors` that name fields (`pointer`), lines or items where there are some.',
    '',
    '| code | status | what | what to do |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
