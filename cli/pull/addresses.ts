import type { ApiClient } from '../api-client.ts';
import { CommandError } from '../command.ts';
import type { VersionReference } from './version-reference.ts';

/** `otherUrls`: the same bytes on another site of the store; `sites`: whose addresses `url` and these are, where there are two. */
type Addressed = {
  readonly sha256: string;
  readonly bytes: number;
  readonly url: string;
  readonly otherUrls?: readonly string[];
  readonly sites?: readonly string[];
};
type FilesAnswer = { readonly items: readonly Addressed[]; readonly manifest: Addressed };

/** Where the bytes of a version are read, by their SHA-256. Addresses hold for an hour; a pull may take longer, so they are asked for again. */
export class Addresses {
  readonly #ask: () => Promise<FilesAnswer>;
  #urls: Map<string, readonly string[]>;
  #bySite: ReadonlyMap<string, string>;
  /** Names of the sites of the store, in the order of the operator; empty where it has one. */
  readonly siteNames: readonly string[];
  #asking: Promise<void> | null = null;
  readonly manifest: Pick<Addressed, 'sha256' | 'bytes'>;

  private constructor(ask: () => Promise<FilesAnswer>, answer: FilesAnswer) {
    this.#ask = ask;
    this.#urls = urlsOf(answer);
    this.#bySite = bySite(answer);
    this.siteNames = [...(answer.manifest.sites ?? [])].sort();
    this.manifest = { sha256: answer.manifest.sha256, bytes: answer.manifest.bytes };
  }

  static async of(api: ApiClient, { customization, version }: VersionReference): Promise<Addresses> {
    const ask = (): Promise<FilesAnswer> => api.call<FilesAnswer>('GET', `/v1/customizations/${customization}/models/${version}/files`);
    return new Addresses(ask, await ask());
  }

  urlOf(sha256: string): string {
    const [url] = this.#urls.get(sha256) ?? [];
    if (url === undefined) throw new CommandError(`the API names no address for the part with SHA-256 ${sha256}`);
    return url;
  }

  /** On this site of the store, whether it has the part or not. */
  urlAt(site: string, sha256: string): string {
    const url = this.#bySite.get(`${site} ${sha256}`);
    if (url === undefined) throw new CommandError(`the API names no address on the ${site} site for the part with SHA-256 ${sha256}`);
    return url;
  }

  /** On how many sites of the store the part can be read. */
  sitesOf(sha256: string): number {
    return this.#urls.get(sha256)?.length ?? 0;
  }

  /** The address was of no use: the next site's is the next one that `urlOf` tells, and this one comes last. */
  turnFrom(sha256: string, url: string): void {
    const [first, ...others] = this.#urls.get(sha256) ?? [];
    if (first === url) this.#urls.set(sha256, [...others, first]);
  }

  /** New addresses, asked for once for all who found theirs expired at a time. */
  async renew(sha256: string, expired: string, site: string | null = null): Promise<void> {
    if ((site === null ? this.urlOf(sha256) : this.urlAt(site, sha256)) !== expired) return;
    this.#asking ??= this.#askAgain().finally(() => (this.#asking = null));
    await this.#asking;
  }

  async #askAgain(): Promise<void> {
    const answer = await this.#ask();
    this.#urls = urlsOf(answer);
    this.#bySite = bySite(answer);
  }
}

const bySite = ({ items, manifest }: FilesAnswer): Map<string, string> =>
  new Map(
    [...items, manifest].flatMap(({ sha256, url, otherUrls = [], sites = [] }) =>
      [url, ...otherUrls].flatMap((one, at) => (sites[at] === undefined ? [] : [[`${sites[at]} ${sha256}`, one] as const])),
    ),
  );
const urlsOf = ({ items, manifest }: FilesAnswer): Map<string, readonly string[]> =>
  new Map([...items, manifest].map(({ sha256, url, otherUrls = [] }) => [sha256, [url, ...otherUrls]]));
