import type { BusinessModel } from '../catalog/catalog.ts';
import type { SourceMapping } from '../core/source-mapping.ts';
import { isValueOf, keyTextOf, readingOf } from './column-reading.ts';
import { fieldTypesOf, fieldsOf, requiredFieldsOf } from './example-fields.ts';
import { type TableColumn, type TableStructure, columnOf } from './table-structure.ts';

/** `pointer`: where in the mapping; `message`: what is wrong there and what to do. */
export type MappingProblem = { readonly pointer: string; readonly message: string };

type Filter = SourceMapping['filter'];

/** Names that a list in the connector's configuration can hold. */
const listable = (name: string): boolean => !/[,\s]/.test(name);

/** Why a column cannot be the id of an example; null: it can. With a filter, the id must be unique within one value of it. */
export function idProblem(structure: TableStructure, column: TableColumn, filter: Filter): string | null {
  const text = keyTextOf(column);
  if ('problem' in text) return text.problem;
  if (column.type === 'enum') return 'is an ENUM, which cannot be an id';
  if (!listable(column.name)) return 'has a comma or white space in its name: rename it, or add a generated column';
  const within = new Set([column.name, ...(filter ? [filter.column] : [])]);
  if (structure.uniqueKeys.some((key) => key.every((part) => within.has(part)))) return null;
  const alone = filter ? `alone or together with ${filter.column}` : 'alone';
  return `does not tell rows apart: it needs a PRIMARY or UNIQUE key of NOT NULL columns that is made of it ${alone}; an id of several columns is not supported (a generated column that joins them is)`;
}

function filterProblems(structure: TableStructure, { column, equals }: NonNullable<Filter>): MappingProblem[] {
  const found = columnOf(structure, column);
  if (!found) return [{ pointer: '/filter/column', message: missing(structure, column) }];
  const text = keyTextOf(found);
  if ('problem' in text) return [{ pointer: '/filter/column', message: `${column} ${text.problem}` }];
  if (!listable(column)) return [{ pointer: '/filter/column', message: `${column} has a comma or white space in its name: rename it` }];
  if (!isValueOf(found, equals))
    return [
      {
        pointer: '/filter/equals',
        message: `is not a value of ${column}, which is ${found.fullType}: write it without spaces and leading zeros`,
      },
    ];
  return [];
}

const missing = ({ database, table, columns }: TableStructure, name: string): string =>
  `${database}.${table} has no column ${name}; it has: ${columns.map((column) => column.name).join(', ')}`;

/** Everything that is wrong with a mapping of this table to examples of this business model. */
export function mappingProblems(
  mapping: Pick<SourceMapping, 'columns' | 'filter'>,
  structure: TableStructure,
  model: Pick<BusinessModel, 'id' | 'exampleSchema'>,
): MappingProblem[] {
  const problems: MappingProblem[] = [];
  const fields = fieldsOf(model);
  for (const field of ['id', ...requiredFieldsOf(model)])
    if (mapping.columns[field] === undefined)
      problems.push({ pointer: `/columns/${field}`, message: `no column is mapped to ${field}, which every example of ${model.id} has` });
  for (const [field, name] of Object.entries(mapping.columns)) {
    const pointer = `/columns/${field}`;
    const column = columnOf(structure, name);
    if (field !== 'id' && !fields.includes(field))
      problems.push({ pointer, message: `is not a field of an example of ${model.id}; its fields: id, ${fields.join(', ')}` });
    else if (!column) problems.push({ pointer, message: missing(structure, name) });
    else {
      const reading = field === 'id' ? null : readingOf(column, fieldTypesOf(model, field));
      const problem =
        field === 'id' ? idProblem(structure, column, mapping.filter) : reading && 'problem' in reading ? reading.problem : null;
      if (problem !== null) problems.push({ pointer, message: `${name} ${problem}` });
    }
  }
  return [...problems, ...(mapping.filter ? filterProblems(structure, mapping.filter) : [])];
}

/** What a table must have before anybody may map it; one sentence a problem, each with its remedy. */
export function tableProblems(structure: TableStructure, filter: Filter): string[] {
  const name = `${structure.database}.${structure.table}`;
  if (structure.kind !== 'BASE TABLE')
    return [`${name} is a ${structure.kind.toLowerCase()}: changes of a view are not in the binary log; grant the table under it`];
  const problems: string[] = [];
  if (structure.engine !== 'InnoDB')
    problems.push(
      `${name} has the engine ${structure.engine ?? 'none'}, which has no consistent snapshot: ALTER TABLE ${name} ENGINE = InnoDB`,
    );
  if (structure.primaryKey.length === 0)
    problems.push(`${name} has no primary key: ALTER TABLE ${name} ADD PRIMARY KEY (...) with the column that tells its rows apart`);
  const unlistable = structure.primaryKey.filter((column) => !listable(column));
  if (!listable(structure.database) || !listable(structure.table) || unlistable.length > 0)
    problems.push(
      `${name} or a column of its primary key has a comma or white space in its name, which the connector cannot list: rename it`,
    );
  const filtered = filter ? filterProblems(structure, filter) : [];
  problems.push(...filtered.map(({ message }) => message));
  if (filtered.length === 0 && structure.primaryKey.length > 0) {
    const reasons = structure.columns.map((column) => [column.name, idProblem(structure, column, filter)] as const);
    if (reasons.every(([, reason]) => reason !== null)) {
      const ofKey = reasons.filter(([column]) => structure.primaryKey.includes(column)).map(([column, reason]) => `${column} ${reason}`);
      problems.push(`no column of ${name} can be the id of an example: ${ofKey.join('; ')}`);
    }
  }
  return problems;
}
