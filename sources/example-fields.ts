import type { BusinessModel } from '../catalog/catalog.ts';
import type { FieldType } from './column-reading.ts';

type Schema = Pick<BusinessModel, 'exampleSchema'>;

export const requiredFieldsOf = ({ exampleSchema }: Schema): readonly string[] => {
  const required = exampleSchema['required'];
  return Array.isArray(required) ? required.filter((field): field is string => typeof field === 'string') : [];
};

/** Fields of an example besides its id. */
export const fieldsOf = ({ exampleSchema }: Schema): string[] => Object.keys(exampleSchema.properties).filter((field) => field !== 'id');

/** JSON types that the schema allows for a field. */
export function fieldTypesOf({ exampleSchema }: Schema, field: string): FieldType[] {
  const type = exampleSchema.properties[field]?.['type'];
  const types = Array.isArray(type) ? type : [type];
  return types.filter((name): name is FieldType => ['string', 'number', 'integer', 'boolean', 'array', 'object'].includes(String(name)));
}
