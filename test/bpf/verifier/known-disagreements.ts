/** Generated programs (by seed) on which Linux 6.18 and we differ, each with a sentence on who is right. */
export const KNOWN_DISAGREEMENTS: ReadonlyMap<number, string> = new Map();
