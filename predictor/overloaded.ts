/** Longest and shortest time that a caller is asked to wait. */
const mostSeconds = 60;
const leastSeconds = 1;

/** More texts wait for an encoder than may. `retryAfterSeconds`: when those that wait now will have been answered. */
export class Overloaded extends Error {
  override name = 'Overloaded';
  readonly retryAfterSeconds: number;
  constructor(waiting: number, waitMs: number) {
    super(`${waiting} texts wait for an answer, as many as may: ask again later, or for less at once`);
    this.retryAfterSeconds = Math.min(mostSeconds, Math.max(leastSeconds, Math.ceil(waitMs / 1_000)));
  }
}
