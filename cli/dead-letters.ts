import { randomUUID } from 'node:crypto';
import { loadConfig } from '../platform/config.ts';
import { createLogger } from '../platform/logger.ts';
import { createKafka } from '../workers/cdc/kafkajs-feed.ts';
import { type ParkedEvent, readParked, replayParked } from '../workers/cdc/parked-events.ts';
import { CommandError, printJson, type RegisterCommand } from './command.ts';

type Options = { readonly json?: boolean; readonly all?: boolean; readonly force?: boolean };

const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
/** What may be listed anywhere: no part of the event itself. */
const outline = ({ id, reason, parkedAtMs, replayedAtMs, value }: ParkedEvent) => ({
  id,
  reason,
  parkedAt: time(parkedAtMs),
  replayedAt: time(replayedAtMs),
  bytes: value?.length ?? 0,
});

function find(events: readonly ParkedEvent[], id: string): ParkedEvent {
  const found = events.find((event) => event.id === id);
  if (!found) throw new CommandError(`no event ${id} is parked: \`mw dead-letters\` lists them as TOPIC:PARTITION:OFFSET`);
  return found;
}

/** Events to send again: those that are named, or all that were not sent again yet. */
export function chooseEvents(events: readonly ParkedEvent[], ids: readonly string[], { all, force }: Options): readonly ParkedEvent[] {
  if (all && ids.length > 0) throw new CommandError('say either --all or ids');
  if (!all && ids.length === 0) throw new CommandError('say which events: ids as `mw dead-letters` lists them, or --all');
  const chosen = all ? events.filter(({ replayedAtMs }) => force || replayedAtMs === null) : ids.map((id) => find(events, id));
  const again = chosen.filter(({ replayedAtMs }) => replayedAtMs !== null);
  if (again.length > 0 && !force)
    throw new CommandError(`sent again already: ${again.map(({ id }) => id).join(', ')}; say --force to send it once more`);
  return chosen;
}

function print(events: readonly ParkedEvent[], json: boolean | undefined): void {
  if (json) return printJson({ deadLetters: events.map(outline) });
  if (events.length === 0) return console.log('no event is parked');
  for (const event of events) {
    const { id, reason, parkedAt, replayedAt } = outline(event);
    console.log(`${id}  ${parkedAt}  ${replayedAt ? `sent again ${replayedAt}` : 'parked'}  ${reason}`);
  }
}

function show(event: ParkedEvent): void {
  const { topic, partition, offset, key, value } = event;
  printJson({ ...outline(event), topic, partition, offset, key: key?.toString() ?? null, value: value?.toString() ?? null });
}

export const registerDeadLetters: RegisterCommand = (program) => {
  program
    .command('dead-letters')
    .description('change events that nobody could read: list them, show one as it is, or send them again')
    .argument('[action]', 'list, show or replay', 'list')
    .argument('[ids...]', 'events, as TOPIC:PARTITION:OFFSET')
    .option('--all', 'replay every event that was not sent again yet')
    .option('--force', 'replay also what was sent again already')
    .option('--json', 'print one JSON document')
    .action(async (action: string, ids: string[], options: Options) => {
      const { kafka: settings } = loadConfig();
      const kafka = createKafka(settings.brokers, 'modelwright-dead-letters', createLogger('mw', 'error'));
      const events = await readParked(kafka, settings.topicPrefix, randomUUID());
      if (action === 'list' && ids.length === 0) print(events, options.json);
      else if (action === 'show' && ids[0] !== undefined && ids.length === 1) show(find(events, ids[0]));
      else if (action === 'replay') {
        const chosen = chooseEvents(events, ids, options);
        await replayParked(kafka, settings.topicPrefix, chosen);
        if (options.json) printJson({ replayed: chosen.map(({ id }) => id) });
        else for (const { id } of chosen) console.log(`sent again: ${id}`);
      } else throw new CommandError('say `mw dead-letters`, `mw dead-letters show ID`, or `mw dead-letters replay ID... | --all`');
    });
};
