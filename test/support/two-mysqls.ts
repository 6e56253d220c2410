import { mkdtemp, rm } from 'node:fs/promises';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mysql, { type Connection } from 'mysql2/promise';
import { mysqlProcess } from '../../infra/local/mysql-process.ts';
import { ensureSecrets } from '../../infra/local/secrets.ts';
import { SupervisedProcess } from '../../infra/local/supervised-process.ts';
import { type Secrets, loadConfig } from '../../platform/config.ts';
import { resolvePaths } from '../../platform/paths.ts';
import { freePorts } from '../../infra/local/ports.ts';

type Role = 'first' | 'second';

/** One address that leads to either server, as a proxy or a name does in front of a real pair. */
class Forwarder {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  target: number;

  constructor(target: number) {
    this.target = target;
    this.#server = createServer((near) => {
      const far = connect(this.target, '127.0.0.1');
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.once('close', () => {
          this.#sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
        // A server that was killed resets its connections; the close says it all.
        socket.on('error', () => undefined);
      }
      near.pipe(far).pipe(near);
    });
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => this.#server.once('error', reject).listen(port, '127.0.0.1', resolve));
  }

  switchTo(target: number): void {
    this.target = target;
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Two real servers with GTID replication behind one address: `fail over` is what an operator or an orchestrator does. */
export class TwoMysqls {
  readonly home: string;
  readonly port: number;
  readonly #ports: Record<Role, number>;
  readonly #secrets: Secrets;
  readonly #forwarder: Forwarder;
  readonly #servers: Record<Role, SupervisedProcess>;

  private constructor(home: string, port: number, ports: Record<Role, number>, secrets: Secrets, servers: Record<Role, SupervisedProcess>) {
    this.home = home;
    this.port = port;
    this.#ports = ports;
    this.#secrets = secrets;
    this.#forwarder = new Forwarder(ports.first);
    this.#servers = servers;
  }

  /** `home` is the stack's: its secrets are the servers'. */
  static async start(): Promise<TwoMysqls> {
    const home = await mkdtemp(join(tmpdir(), 'mw-pair-'));
    const [port = 0, first = 0, second = 0] = await freePorts(3);
    const cache = process.env['MW_CACHE_DIR'];
    const env = { MW_HOME: home, ...(cache === undefined ? {} : { MW_CACHE_DIR: cache }) };
    const secrets = await ensureSecrets(resolvePaths(env));
    const serverOf = (role: Role, at: number, id: number, migrated: boolean): SupervisedProcess => {
      const config = loadConfig({ ...env, MW_MYSQL_PORT: String(at) });
      const paths = resolvePaths({ ...env, MW_HOME: join(home, role) });
      const { onReady, ...spec } = mysqlProcess({ ...config, paths }, secrets);
      const args = [...spec.args, `--server-id=${id}`];
      return new SupervisedProcess({ ...spec, args, ...(migrated && onReady ? { onReady } : {}) }, paths, () => undefined);
    };
    const pair = new TwoMysqls(home, port, { first, second }, secrets, {
      first: serverOf('first', first, 1, true),
      // What the first one has comes by replication: a statement of its own would be an errant transaction.
      second: serverOf('second', second, 2, false),
    });
    await Promise.all([pair.#servers.first.start(), pair.#servers.second.start()]);
    await pair.asRoot('second', async (root) => {
      await root.query('STOP REPLICA');
      await root.query('RESET BINARY LOGS AND GTIDS');
      await root.query(
        `CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = ${first}, SOURCE_USER = 'debezium', SOURCE_PASSWORD = ?,
         SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1`,
        [secrets.mysqlDebeziumPassword],
      );
      await root.query('START REPLICA');
    });
    await pair.#forwarder.listen(port);
    return pair;
  }

  async asRoot<T>(role: Role, work: (root: Connection) => Promise<T>): Promise<T> {
    const root = await mysql.createConnection({
      host: '127.0.0.1',
      port: this.#ports[role],
      user: 'root',
      password: this.#secrets.mysqlRootPassword,
    });
    try {
      return await work(root);
    } finally {
      await root.end();
    }
  }

  /** Waits until the second server has everything of the first. */
  async replicated(): Promise<void> {
    const executed = await this.asRoot('first', async (root) => {
      const [rows] = await root.query('SELECT @@global.gtid_executed AS executed');
      return (rows as { executed: string }[])[0]?.executed ?? '';
    });
    await this.asRoot('second', async (root) => {
      const [rows] = await root.query('SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 60) AS late', [executed]);
      if (Number((rows as { late: number }[])[0]?.late) !== 0) throw new Error('the second server does not keep up');
    });
  }

  /** Kills the first server, promotes the second, and lets the address lead to it. */
  async failOver(): Promise<void> {
    this.#servers.first.kill('SIGKILL');
    await this.#servers.first.stop();
    await this.asRoot('second', async (root) => {
      await root.query('STOP REPLICA');
      await root.query('RESET REPLICA ALL');
    });
    this.#forwarder.switchTo(this.#ports.second);
  }

  async remove(): Promise<void> {
    await this.#forwarder.stop();
    for (const server of Object.values(this.#servers)) await server.stop();
    await rm(this.home, { recursive: true, force: true });
  }
}
