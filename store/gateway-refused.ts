/** The gateway cannot be the store: why, and what to do. Asking again does not help. */
export class GatewayRefused extends Error {
  override name = 'GatewayRefused';
  readonly problem: string;
  readonly remedy: string;
  constructor(problem: string, remedy: string, options?: ErrorOptions) {
    super(`${problem}: ${remedy}`, options);
    this.problem = problem;
    this.remedy = remedy;
  }
}
