/** Every helper's implementation by name, gathered from the family files. */
import type { HelperTable } from "./implementation.ts";

export const HELPER_TABLE: Partial<HelperTable> = {};
