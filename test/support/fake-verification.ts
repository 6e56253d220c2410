import type { VerificationActivities } from '../../activities/ports.ts';
import type { VerificationResult } from '../../core/verification.ts';
import type { FakePlatform } from './fake-platform.ts';

/** Comparisons over the fake platform: its tables are in memory, so that nothing is ever lost. */
export const fakeVerification = (platform: FakePlatform): VerificationActivities => ({
  verifyCustomization: async ({ tenantId, customizationId }): Promise<VerificationResult> => {
    const c = platform.customizations.get(customizationId);
    const dataset = c?.datasets.at(-1);
    const equal = { holds: true, detail: 'nothing is lost' };
    return await Promise.resolve({
      ok: true,
      verdict: 'equal',
      tenantId,
      customizationId,
      verifiedAt: '2026-03-01T00:00:00.000Z',
      table: { rows: c?.table.size ?? 0, digest: dataset?.digest ?? '', excluded: 0, cut: '' },
      dataset: {
        number: dataset?.number ?? null,
        rows: dataset?.rows.size ?? 0,
        digest: dataset?.digest ?? '',
        cut: dataset?.cut ?? '',
      },
      counts: { missing: 0, extra: 0, changed: 0, unexplained: 0 },
      missing: [],
      extra: [],
      changed: [],
      unexplained: [],
      damaged: [],
      explanation: null,
      I1: equal,
      I2: equal,
      healing: null,
    });
  },
  listCustomizations: async ({ after }) =>
    await Promise.resolve(
      after ? [] : [...platform.customizations.keys()].map((customizationId) => ({ tenantId: 'tenant-1', customizationId })),
    ),
});
