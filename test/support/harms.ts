/** What a test can have done to a service from within; harm.ts does it. */

/** Ways a worker ends: by an error nobody catches, or at once when it next gets to that place. */
export const DEATHS = [
  "throw",
  "exit-holding-a-lock",
  "exit-before-the-store-is-told",
  "exit-after-the-store-is-told",
] as const;
export type Death = (typeof DEATHS)[number];

export type Harm =
  /** The wall clock, in all threads, from now on. */
  | { readonly do: "jump"; readonly ms: number }
  /** Workers that start from now on do not. */
  | { readonly do: "spoil"; readonly spoilt: boolean }
  | { readonly do: Death; readonly cpu: number };
