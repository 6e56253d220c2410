/** Five-field cron in UTC (minute hour day-of-month month day-of-week), as in crontab(5): lists, ranges, steps; 7 is Sunday too. */
export type Cron = {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  readonly weekdays: ReadonlySet<number>;
  /** crontab(5): where both day fields are restricted, a day that matches either is meant. */
  readonly eitherDay: boolean;
};

const minuteMs = 60_000;
const dayMs = 86_400_000;
/** 29 February falls on every weekday at least once in 40 years; a day of month alone needs 8. */
const horizonDays = 40 * 366;

const fields = [
  { name: 'minute', from: 0, to: 59 },
  { name: 'hour', from: 0, to: 23 },
  { name: 'day of month', from: 1, to: 31 },
  { name: 'month', from: 1, to: 12 },
  { name: 'day of week', from: 0, to: 7 },
] as const;

function parseField(text: string, { from, to }: { readonly from: number; readonly to: number }): Set<number> | null {
  const values = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (!match) return null;
    const step = match[3] === undefined ? 1 : Number(match[3]);
    const first = match[1] === undefined ? from : Number(match[1]);
    // `5/15` means 5, 20, 35, 50; `5` alone means 5.
    const last = match[2] !== undefined ? Number(match[2]) : match[1] === undefined || match[3] !== undefined ? to : first;
    if (step < 1 || first < from || last > to || first > last) return null;
    for (let value = first; value <= last; value += step) values.add(value);
  }
  return values;
}

/** What is wrong with the expression, as a sentence; null if nothing is. */
export function cronProblem(text: string): string | null {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== fields.length)
    return `a window has five fields (minute hour day-of-month month day-of-week), this one has ${parts.length}`;
  const wrong = fields.findIndex((field, i) => parseField(parts[i] ?? '', field) === null);
  const field = fields[wrong];
  return field ? `${field.name} "${parts[wrong]}" is not a number, list, range or step within ${field.from}-${field.to}` : null;
}

/** Null for an expression that `cronProblem` names a problem of. */
export function parseCron(text: string): Cron | null {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== fields.length) return null;
  const [minutes, hours, days, months, weekdays] = fields.map((field, i) => parseField(parts[i] ?? '', field));
  if (!minutes || !hours || !days || !months || !weekdays) return null;
  if (weekdays.has(7)) weekdays.add(0);
  return { minutes, hours, days, months, weekdays, eitherDay: !parts[2]?.startsWith('*') && !parts[4]?.startsWith('*') };
}

function dayMatches(cron: Cron, dayStartMs: number): boolean {
  const date = new Date(dayStartMs);
  if (!cron.months.has(date.getUTCMonth() + 1)) return false;
  const byMonth = cron.days.has(date.getUTCDate());
  const byWeek = cron.weekdays.has(date.getUTCDay());
  return cron.eitherDay ? byMonth || byWeek : byMonth && byWeek;
}

/** First time at or after `fromMs` that the expression names; null if there is none in 40 years (such as 31 February). */
export function nextCronTime(cron: Cron, fromMs: number): number | null {
  const start = Math.ceil(fromMs / minuteMs) * minuteMs;
  for (let day = Math.floor(start / dayMs) * dayMs, i = 0; i < horizonDays; day += dayMs, i++) {
    if (!dayMatches(cron, day)) continue;
    for (let hour = 0; hour < 24; hour++) {
      if (!cron.hours.has(hour)) continue;
      for (let minute = 0; minute < 60; minute++) {
        const at = day + (hour * 60 + minute) * minuteMs;
        if (at >= start && cron.minutes.has(minute)) return at;
      }
    }
  }
  return null;
}
