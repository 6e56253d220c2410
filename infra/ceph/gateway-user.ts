import { readFile, rename, writeFile } from 'node:fs/promises';
import type { Config } from '../../platform/config.ts';
import type { CephPlace } from './place.ts';

export const gatewayUser = { id: 'modelwright', bucket: 'modelwright', region: 'us-east-1' } as const;

export type GatewayKeys = { readonly accessKey: string; readonly secretKey: string };

/** Keeps the settings with which the platform uses the gateway, its keys included: for a shell, readable by the owner only. */
export async function writeGatewayUser(place: CephPlace, port: number, { accessKey, secretKey }: GatewayKeys): Promise<void> {
  const settings = {
    MW_S3_ENDPOINT: `http://127.0.0.1:${port}`,
    MW_S3_REGION: gatewayUser.region,
    MW_S3_BUCKET: gatewayUser.bucket,
    MW_S3_ACCESS_KEY: accessKey,
    MW_S3_SECRET_KEY: secretKey,
  };
  const lines = Object.entries(settings).map(([name, value]) => `export ${name}=${value}\n`);
  await writeFile(`${place.settingsFile}.new`, lines.join(''), { mode: 0o600 });
  await rename(`${place.settingsFile}.new`, place.settingsFile);
}

export async function readGatewayUser(place: CephPlace): Promise<Config['s3']> {
  const text = await readFile(place.settingsFile, 'utf8');
  const settings = Object.fromEntries([...text.matchAll(/^export (\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]));
  const need = (name: string): string => {
    const value = settings[name];
    if (value === undefined) throw new Error(`${place.settingsFile} has no ${name}: run \`./mw ceph down\` and \`./mw ceph up\``);
    return value;
  };
  return {
    endpoint: need('MW_S3_ENDPOINT'),
    region: need('MW_S3_REGION'),
    bucket: need('MW_S3_BUCKET'),
    accessKey: need('MW_S3_ACCESS_KEY'),
    secretKey: need('MW_S3_SECRET_KEY'),
  };
}
