import type { FastifyInstance } from 'fastify';
import type { ApiContext } from '../context.ts';

/** Public keys that models are signed with: whoever pulls a model can tell whose it is. */
export function signingKeyRoutes(app: FastifyInstance, { config }: ApiContext): void {
  app.get(
    '/v1/signing-keys',
    { schema: { tags: ['models'], summary: 'Public keys of the signatures in manifests: the one that signs now, and former ones' } },
    () => ({
      items: [...config.signing.trusted.values()].map(({ keyId, publicKey }) => ({
        keyId,
        algorithm: 'Ed25519',
        /** The 32 bytes in base64. */
        publicKey,
        signs: keyId === config.signing.signer?.keyId,
      })),
    }),
  );
}
