import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError, loadConfig, parseSettings, signerOf, trustOf } from './config.ts';
import { parseSigner } from './signing-keys.ts';
import { bucketOf } from './hash.ts';

const secrets = {
  mysqlRootPassword: 'r',
  mysqlAppPassword: 'a',
  mysqlDebeziumPassword: 'd',
  s3AccessKey: 'k',
  s3SecretKey: 's',
  operatorKey: 'o',
  internalToken: 'i',
};
const home = mkdtempSync(join(tmpdir(), 'mw-config-'));
afterAll(() => rmSync(home, { recursive: true }));
writeFileSync(join(home, 'secrets.json'), JSON.stringify(secrets));

describe('settings', () => {
  it('refuse a misspelt variable and a value out of range, both at once', () => {
    expect(() => parseSettings({ MW_API_PRT: '1', MW_API_PORT: '70000' })).toThrow(ConfigError);
    expect(() => parseSettings({ MW_API_PRT: '1', MW_API_PORT: '70000' })).toThrow(/MW_API_PRT is not a setting[^]*MW_API_PORT/);
  });
  it('take secrets from the secrets file, and the environment before it', () => {
    expect(loadConfig({ MW_HOME: home }).mysql.password).toBe('a');
    expect(loadConfig({ MW_HOME: home, MW_MYSQL_PASSWORD: 'x' }).mysql.password).toBe('x');
  });
  it('derive every address from its port', () => {
    const config = loadConfig({
      MW_HOME: home,
      MW_KAFKA_PORT: '1',
      MW_TEMPORAL_PORT: '2',
      MW_S3_PORT: '3',
      MW_CONNECT_PORT: '4',
      MW_PREDICTOR_PORT: '5',
      MW_MYSQL_PORT: '6',
    });
    expect([
      config.kafka.brokers[0],
      config.temporal.address,
      config.s3.endpoint,
      config.connectUrl,
      config.predictorUrl,
      config.mysql.port,
    ]).toEqual(['127.0.0.1:1', '127.0.0.1:2', 'http://127.0.0.1:3', 'http://127.0.0.1:4', 'http://127.0.0.1:5', 6]);
  });
  it('take the key that signs from the secrets file, and the environment before it; former ones stay trusted', () => {
    const seed = Buffer.alloc(32, 1).toString('base64');
    const former = parseSigner(Buffer.alloc(32, 2).toString('base64'));
    expect(() => signerOf(loadConfig({ MW_HOME: home }))).toThrow(/MW_SIGNING_KEY is not set[^]*\.\/mw up/);
    const config = loadConfig({ MW_HOME: home, MW_SIGNING_KEY: seed, MW_TRUSTED_KEYS: former.publicKey });
    expect(signerOf(config).keyId).toBe(parseSigner(seed).keyId);
    expect([...trustOf(config).trusted.keys()].sort()).toEqual([former.keyId, signerOf(config).keyId].sort());
    expect(trustOf(config).unsigned).toBe('accept');
    expect(trustOf(loadConfig({ MW_HOME: home, MW_UNSIGNED_MODELS: 'refuse' })).unsigned).toBe('refuse');
    expect(() => loadConfig({ MW_HOME: home, MW_SIGNING_KEY: 'no key' })).toThrow(/MW_SIGNING_KEY is neither a private key in PEM/);
    expect(() => loadConfig({ MW_HOME: home, MW_TRUSTED_KEYS: 'no key' })).toThrow(/MW_TRUSTED_KEYS has a key \(number 1\)/);
  });
  it('name the missing secret and the remedy', () => {
    expect(() => loadConfig({ MW_HOME: join(home, 'nowhere') })).toThrow(/MW_MYSQL_PASSWORD is not set[^]*\.\/mw up/);
  });
});

describe('bucketOf', () => {
  it('is the first byte of SHA-256 of the id', () => {
    // printf 'abc' | sha256sum -> ba78...
    expect(bucketOf('abc')).toBe(0xba);
  });
});
