import type { FastifyInstance } from 'fastify';
import type { ChosenEncoder } from '../../core/dataset.ts';
import { defaultPolicy } from '../../core/policy.ts';
import { type BusinessModel, validatorOf, withTier } from '../../catalog/catalog.ts';
import { randomBytes } from '../../platform/clock.ts';
import type { PoolConnection, RowDataPacket } from '../../platform/mysql.ts';
import { tenantOf } from '../auth.ts';
import type { ApiContext } from '../context.ts';
import { type CustomizationRow, fieldErrors, findCustomization, hasExamples, modelOf } from '../example-content.ts';
import { page, partsOf } from '../paging.ts';
import { Problem } from '../problems.ts';
import { createCustomization, customizationParams, pageQuery, patchCustomization, policy as policySchema } from '../schemas.ts';
import { captureOf, checkedSource } from '../source-mapping.ts';
import { write } from '../write.ts';

const tags = ['customizations'];
const saltBytes = 16;
const deleteRows = 5_000;

const shown = (row: CustomizationRow) => ({
  id: row.customization_id,
  name: row.name,
  businessModel: row.business_model,
  options: row.options,
  policy: { ...defaultPolicy, ...row.policy },
  schemaPolicy: row.schema_policy,
  state: row.state,
  source: row.source,
  createdAt: row.created_at.toISOString(),
  updatedAt: row.updated_at.toISOString(),
});

function checkedOptions(model: BusinessModel, options: Record<string, unknown>): Record<string, unknown> {
  const parsed = validatorOf(model.optionSchema).safeParse(options);
  if (parsed.success) return parsed.data;
  const known = Object.keys(model.optionSchema.properties).join(', ');
  // One that must be given and is not: its description says what to give.
  const needed = (pointer: string): string | null => {
    const name = pointer.slice(1);
    const { description } = model.optionSchema.properties[name] ?? {};
    return name in model.optionSchema.properties && !(name in options) ? `is needed: ${String(description)}` : null;
  };
  const errors = parsed.error.issues.flatMap(fieldErrors).map(({ pointer, message }) => ({
    pointer: `/options${pointer}`,
    message: message === 'is not a known field' ? `is not an option of ${model.id}; its options: ${known}` : (needed(pointer) ?? message),
  }));
  throw new Problem('invalid_options', `the options do not fit ${model.id}`, errors);
}

function checkedPolicy(policy: Record<string, unknown>): Record<string, unknown> {
  const parsed = policySchema.partial().strict().safeParse(policy);
  if (!parsed.success)
    throw new Problem(
      'invalid_policy',
      `the policy is not valid; its knobs: ${Object.keys(defaultPolicy).join(', ')}`,
      parsed.error.issues.flatMap(fieldErrors).map(({ pointer, message }) => ({ pointer: `/policy${pointer}`, message })),
    );
  const whole = policySchema.parse({ ...defaultPolicy, ...parsed.data });
  if (whole.maxWaitMs < whole.quietPeriodMs)
    throw new Problem('invalid_policy', 'the longest wait is shorter than the quiet period', [
      { pointer: '/policy/maxWaitMs', message: `must be at least quietPeriodMs (${whole.quietPeriodMs})` },
    ]);
  return whole;
}

/** An id out of a name: `BBC News!` becomes `bbc-news`. */
function slug(name: string): string {
  const text = name
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 48)
    .replace(/-+$/, '');
  return text === '' ? `c-${randomBytes(4).toString('hex')}` : text;
}

export function customizationRoutes(app: FastifyInstance, context: ApiContext): void {
  const { pool, catalog } = context;
  const one = async (tenantId: string, c: string) => {
    const row = await findCustomization(pool, tenantId, c);
    const [datasets] = await pool.query<(RowDataPacket & { base_model: ChosenEncoder | null })[]>(
      'SELECT base_model FROM modelwright_control.datasets WHERE tenant_id = ? AND customization_id = ? ORDER BY number DESC LIMIT 1',
      [tenantId, c],
    );
    return {
      ...shown(row),
      /** The encoder of the latest dataset, and why it is this one; null before the first. */
      baseModel: datasets[0]?.base_model ?? null,
      capture: row.source && (await captureOf(pool, tenantId, c, row.source)),
    };
  };

  app.post(
    '/v1/customizations',
    { schema: { tags, summary: 'Choose a business model with options and a policy', body: createCustomization } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const body = createCustomization.parse(request.body);
      const model = modelOf(catalog, body.businessModel);
      const options = checkedOptions(model, withTier(model, {}, body.options));
      const policy = checkedPolicy(body.policy);
      const id = body.id ?? slug(body.name);
      return await write(context, request, reply, tenantId, async (connection) => {
        const source = body.source ? await checkedSource(connection, tenantId, model, body.source) : null;
        const [made] = await connection.query(
          `INSERT IGNORE INTO modelwright.customizations
           (tenant_id, customization_id, name, business_model, options, policy, schema_policy, split_salt, source)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          [
            tenantId,
            id,
            body.name,
            model.id,
            JSON.stringify(options),
            JSON.stringify(policy),
            body.schemaPolicy,
            randomBytes(saltBytes).toString('hex'),
            source && JSON.stringify(source),
          ],
        );
        if ((made as { affectedRows: number }).affectedRows === 0) throw new Problem('exists', `there is a customization ${id} already`);
        return { status: 201, body: shown(await findCustomization(connection, tenantId, id)), customizationId: id };
      });
    },
  );

  app.get('/v1/customizations', { schema: { tags, summary: 'Customizations of the tenant', querystring: pageQuery } }, async (request) => {
    const { limit, cursor } = pageQuery.parse(request.query);
    const [rows] = await pool.query<CustomizationRow[]>(
      'SELECT * FROM modelwright.customizations WHERE tenant_id = ? AND customization_id > ? ORDER BY customization_id LIMIT ?',
      [tenantOf(request.caller), partsOf(cursor, 1)?.[0] ?? '', limit + 1],
    );
    return page(rows, limit, shown, (row) => [row.customization_id]);
  });

  app.get('/v1/customizations/:c', { schema: { tags, summary: 'One customization', params: customizationParams } }, async (request) =>
    one(tenantOf(request.caller), customizationParams.parse(request.params).c),
  );

  app.patch(
    '/v1/customizations/:c',
    { schema: { tags, summary: 'Change name, options, policy or state', params: customizationParams, body: patchCustomization } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      const change = patchCustomization.parse(request.body);
      return await write(context, request, reply, tenantId, async (connection) => {
        const row = await findCustomization(connection, tenantId, c, 'FOR UPDATE');
        // What is named is changed, what is not stays.
        const model = modelOf(catalog, row.business_model);
        const options = change.options ? checkedOptions(model, withTier(model, row.options, change.options)) : row.options;
        const policy = change.policy ? checkedPolicy({ ...row.policy, ...change.policy }) : row.policy;
        const source = change.source ? await changedSource(connection, tenantId, row, change.source) : row.source;
        await connection.query(
          `UPDATE modelwright.customizations SET name = ?, options = ?, policy = ?, schema_policy = ?, state = ?, source = ?, updated_at = UTC_TIMESTAMP(6)
         WHERE tenant_id = ? AND customization_id = ?`,
          [
            change.name ?? row.name,
            JSON.stringify(options),
            JSON.stringify(policy),
            change.schemaPolicy ?? row.schema_policy,
            change.state ?? row.state,
            source && JSON.stringify(source),
            tenantId,
            c,
          ],
        );
        return { status: 200, body: shown(await findCustomization(connection, tenantId, c)), customizationId: c };
      });
    },
  );

  /** A customization with examples of its own is not silently turned away from them. */
  const changedSource = async (
    connection: PoolConnection,
    tenantId: string,
    row: CustomizationRow,
    wanted: Parameters<typeof checkedSource>[3],
  ) => {
    const c = row.customization_id;
    if (!row.source && (await hasExamples(connection, tenantId, c)))
      throw new Problem('refused', `${c} has examples of its own: delete them first, or make another customization for the table`);
    return await checkedSource(connection, tenantId, modelOf(catalog, row.business_model), wanted);
  };

  app.delete(
    '/v1/customizations/:c',
    { schema: { tags, summary: 'Delete a customization with its examples', params: customizationParams } },
    async (request, reply) => {
      const tenantId = tenantOf(request.caller);
      const { c } = customizationParams.parse(request.params);
      await findCustomization(pool, tenantId, c);
      const scope = 'tenant_id = ? AND customization_id = ?';
      // In bounded transactions first; the last one takes what came meanwhile, together with the customization.
      for (let deleted = deleteRows; deleted === deleteRows;) {
        const [result] = await pool.query(`DELETE FROM modelwright.examples WHERE ${scope} LIMIT ?`, [tenantId, c, deleteRows]);
        deleted = (result as { affectedRows: number }).affectedRows;
      }
      return await write(context, request, reply, tenantId, async (connection) => {
        await connection.query(`DELETE FROM modelwright.customizations WHERE ${scope}`, [tenantId, c]);
        await connection.query(`DELETE FROM modelwright.examples WHERE ${scope}`, [tenantId, c]);
        // Another customization with this id must not be held for what happened to this one.
        for (const table of ['schema_changes', 'approved_structures'])
          await connection.query(`DELETE FROM modelwright_control.${table} WHERE ${scope}`, [tenantId, c]);
        return { status: 200, body: { id: c, deleted: true }, customizationId: c };
      });
    },
  );
}
