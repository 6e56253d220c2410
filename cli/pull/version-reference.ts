import type { ApiClient } from '../api-client.ts';
import type { ModelVersion, Page } from '../api-types.ts';
import { CommandError } from '../command.ts';

export type VersionReference = { readonly customization: string; readonly version: number };

/** `v3` or `3`: the number; null for anything else. */
export const versionNumber = (name: string): number | null => {
  const number = /^v?([1-9][0-9]{0,8})$/.exec(name)?.[1];
  return number === undefined ? null : Number(number);
};

/** The version that `news@production`, `news@v3` or `news` (production) means now. Aliases move: it is asked once. */
export async function resolveVersion(api: ApiClient, reference: string): Promise<VersionReference> {
  const [customization = '', name = 'production', ...more] = reference.split('@');
  if (customization === '' || name === '' || more.length > 0)
    throw new CommandError(`"${reference}" names no version: say CUSTOMIZATION@VERSION, such as news@production or news@v3`);
  return { customization, version: versionNumber(name) ?? (await aliased(api, customization, name)) };
}

async function aliased(api: ApiClient, customization: string, alias: string): Promise<number> {
  let cursor = '';
  for (;;) {
    const page = await api.call<Page<ModelVersion>>('GET', `/v1/customizations/${customization}/models?limit=1000${cursor}`);
    const found = page.items.find(({ aliases }) => aliases.includes(alias));
    if (found) return found.version;
    if (page.nextCursor === null) throw new CommandError(`${customization} has no version that is ${alias}`);
    cursor = `&cursor=${encodeURIComponent(page.nextCursor)}`;
  }
}
