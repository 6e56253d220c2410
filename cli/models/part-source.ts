import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Addresses } from '../pull/addresses.ts';
import type { Part } from '../pull/fetch-part.ts';
import { openAddress } from '../pull/open-address.ts';

/** Reads a part from its beginning, piece by piece; false where there is none. */
export type PartSource = (part: Part, take: (chunk: Buffer) => void) => Promise<boolean>;

/** What lies in a folder. */
export const folderSource =
  (folder: string): PartSource =>
  async ({ path }, take) => {
    const file = join(folder, path);
    if (!(await stat(file).catch(() => null))?.isFile()) return false;
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) take(chunk as Buffer);
    return true;
  };

/** What lies in the store; `site`: on this site of it only. Fails where it cannot be read now: that says nothing of what is stored. */
export const storeSource =
  (addresses: Addresses, site: string | null = null): PartSource =>
  async ({ path, sha256 }, take) => {
    const url = site === null ? addresses.urlOf(sha256) : addresses.urlAt(site, sha256);
    // What cannot be read now may be on the other site.
    const turning = (error: unknown): never => {
      if (site === null) addresses.turnFrom(sha256, url);
      throw error;
    };
    const response = await openAddress(url, 0, new AbortController().signal).catch(turning);
    const status = response.statusCode ?? 0;
    if (status === 200) {
      try {
        for await (const chunk of response) take(chunk as Buffer);
      } catch (error) {
        turning(error);
      }
      return true;
    }
    response.destroy();
    if (status === 404) return false;
    if (status === 403) await addresses.renew(sha256, url, site);
    throw new Error(`the store answered ${status} for ${path}`);
  };
