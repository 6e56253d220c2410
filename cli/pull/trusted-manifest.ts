import type { StoredManifest } from '../../core/model.ts';
import { signatureFaults, signatureFinding } from '../../store/model-signature.ts';
import { CommandError } from '../command.ts';
import type { ReaderTrust } from './trusted-keys.ts';
import type { VersionReference } from './version-reference.ts';

/** The manifest is not signed, its signature is wrong, nobody here trusts its key, or it is that of another version. Nothing of the version is handed out. */
export class UntrustedVersion extends CommandError {
  override name = 'UntrustedVersion';
}

/** The key that it is signed with; null for a version from before there were signatures. Throws UntrustedVersion, which says why and what to do. */
export function checkTrusted(manifest: StoredManifest, { customization, version }: VersionReference, trust: ReaderTrust): string | null {
  const refuse = (why: string): UntrustedVersion => new UntrustedVersion(`v${version} of ${customization} is not trusted: ${why}`);
  const keyId = manifest.signature?.keyId ?? '';
  const finding = signatureFinding(manifest, trust.trusted);
  if (finding === 'missing') throw refuse(signatureFaults.missing);
  if (finding === 'wrong') throw refuse(signatureFaults.wrong(keyId));
  if (finding === 'unknownKey') throw refuse(`it is signed with the key ${keyId}, which is not trusted here: ${trust.remedy}`);
  if (finding === 'unsigned' && !trust.allowUnsigned)
    throw refuse('it is from before versions were signed: retrain it, or take it by --allow-unsigned if you trust whoever keeps the store');
  // A good signature does not say that it is what was asked for.
  if (manifest.version !== version || manifest.customizationId !== customization)
    throw refuse(`its manifest is that of v${manifest.version} of ${manifest.customizationId}: tell the operator`);
  return manifest.signature?.keyId ?? null;
}

export const signedWords = (signedBy: string | null): string => (signedBy === null ? 'not signed' : `signed with the key ${signedBy}`);
