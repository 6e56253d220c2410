import type { z } from 'zod';
import { type BusinessModel, validatorOf } from '../catalog/catalog.ts';
import type { Json } from '../core/json.ts';
import { fieldErrors } from './example-content.ts';
import { type FieldError, Problem } from './problems.ts';

type Input = { readonly [field: string]: Json };

/** Of each business model once: making one costs more than many inputs that are checked with it. */
const validators = new WeakMap<BusinessModel, z.ZodType<Record<string, unknown>>>();

/** What `predict` takes of an example: its input fields, with the rules of the example schema. */
function inputValidator({ exampleSchema, fields }: BusinessModel): z.ZodType<Record<string, unknown>> {
  const required = Array.isArray(exampleSchema['required']) ? exampleSchema['required'] : [];
  return validatorOf({
    type: 'object',
    additionalProperties: false,
    required: fields.input.filter((field) => required.includes(field)),
    properties: Object.fromEntries(fields.input.map((field) => [field, exampleSchema.properties[field] ?? {}])),
  });
}

/** Inputs as the business model takes them; a plain text stands for its first field, or for what the business model says. */
export function checkedInputs(
  model: BusinessModel,
  inputs: readonly unknown[],
  pointerOf = (i: number): string => `/inputs/${i}`,
): Input[] {
  const validator = validators.get(model) ?? inputValidator(model);
  validators.set(model, validator);
  const [first = 'text'] = model.fields.input;
  const errors: FieldError[] = [];
  const checked = inputs.map((input, i) => {
    const asked = typeof input === 'string' ? (model.evaluation.inputOf?.(input) ?? { [first]: input }) : input;
    const parsed = validator.safeParse(asked);
    const problem = parsed.success ? model.evaluation.inputProblem?.(parsed.data as Input) : null;
    if (problem) errors.push({ pointer: `${pointerOf(i)}${problem.pointer}`, message: problem.message });
    if (!parsed.success)
      errors.push(
        ...parsed.error.issues.flatMap(fieldErrors).map(({ pointer, message }) => ({ pointer: `${pointerOf(i)}${pointer}`, message })),
      );
    return (parsed.data ?? {}) as Input;
  });
  if (errors.length > 0)
    throw new Problem('invalid_request', `the inputs do not fit ${model.id}: give ${model.fields.input.join(', ')}`, errors);
  return checked;
}
