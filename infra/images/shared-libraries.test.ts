import { expect, it } from 'vitest';
import { parseLdd } from './shared-libraries.ts';

it('reads which libraries a program needs, and by which loader', () => {
  const output = [
    '/usr/bin/python3:',
    '\tlinux-vdso.so.1 (0x00007ffd8b5f2000)',
    '\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f2d0a)',
    '\tlibcuda.so.1 => not found',
    '\t/lib64/ld-linux-x86-64.so.2 (0x00007f2d0b)',
    '/opt/module.so:',
    '\tstatically linked',
    '\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f2d0c)',
  ].join('\n');
  expect(parseLdd(output)).toEqual({
    libraries: new Map([
      ['libm.so.6', '/lib/x86_64-linux-gnu/libm.so.6'],
      ['libz.so.1', '/lib/x86_64-linux-gnu/libz.so.1'],
    ]),
    loader: '/lib64/ld-linux-x86-64.so.2',
  });
  expect(parseLdd('\t/lib/ld-linux-aarch64.so.1 (0x0000ffff)').loader).toBe('/lib/ld-linux-aarch64.so.1');
});
