/** Generated programs (by seed) on which Linux 6.18 and we differ, each with a sentence on who is right. */
export const KNOWN_DISAGREEMENTS: ReadonlyMap<number, string> = new Map([
  [
    2123,
    "Linux rejects, we accept, and are right: r0 is known to be at most 2 (signed) and, after `r0 > 47` failed, not negative; Linux forgets the signed bound there.",
  ],
]);
