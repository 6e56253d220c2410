import type { ReaderTrust } from '../../cli/pull/trusted-keys.ts';
import type { TestStack } from './engines.ts';

/** Takes what this installation signs. */
export const readerTrustOf = ({ config }: Pick<TestStack, 'config'>): ReaderTrust => ({
  trusted: config.signing.trusted,
  allowUnsigned: false,
  remedy: 'it is not of this installation',
});
