/** How a command ends badly: exit 2 for a user's mistake, 1 for a refusal. One clear line each. */
export class UsageError extends Error {
  readonly exitCode = 2;
}
export class Refusal extends Error {
  readonly exitCode = 1;
}
