/** Every helper's implementation by name, gathered from the family files. */
import { CHECKSUM_HELPERS } from "./checksum.ts";
import type { HelperTable } from "./implementation.ts";
import { MAP_HELPERS } from "./map-helpers.ts";
import { REDIRECT_HELPERS } from "./redirect-helpers.ts";
import { SKB_HELPERS } from "./skb-helpers.ts";
import { SYSTEM_HELPERS } from "./system-helpers.ts";
import { TRACE_HELPERS } from "./trace-printk.ts";
import { XDP_HELPERS } from "./xdp-helpers.ts";

export const HELPER_TABLE: HelperTable = {
  ...MAP_HELPERS,
  ...SYSTEM_HELPERS,
  ...TRACE_HELPERS,
  ...XDP_HELPERS,
  ...SKB_HELPERS,
  ...CHECKSUM_HELPERS,
  ...REDIRECT_HELPERS,
};
