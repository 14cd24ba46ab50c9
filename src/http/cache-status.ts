/**
 * The Cache-Status field (RFC 9211): one member a cache, the one nearest the origin first, so the cold
 * tier stands before the hot one. `detail` says in our own words why the request crossed. All values are
 * made once: the header of a request is a table look-up.
 */
import { CROSSINGS, type Crossing } from "../tiers/crossing.ts";

/** What the cold tier said; `write`: it was not asked for a value. */
export type ColdPart = "hit" | "miss" | "write";
type Row = { readonly plain: string; readonly stored: string };

const TABLE: Readonly<Record<ColdPart, Readonly<Record<Crossing, Row>>>> = {
  hit: rows("bmc-cold; hit"),
  miss: rows("bmc-cold; fwd=uri-miss"),
  write: rows("bmc-cold; fwd=method"),
};

/** @param stored whether this answer was filled into the hot tier */
export function cacheStatus(cold: ColdPart, hot: Crossing, stored = false): string {
  const row = TABLE[cold][hot];
  return stored ? row.stored : row.plain;
}

function rows(cold: string): Readonly<Record<Crossing, Row>> {
  const table = CROSSINGS.map(({ name, fwd }) => {
    // With no program attached there is no hot tier to speak of.
    const hot = (stored: string) =>
      name === "no-program" ? cold : `${cold}, bmc-hot; fwd=${fwd}${stored}; detail=${name}`;
    return [name, { plain: hot(""), stored: hot("; stored") }];
  });
  return Object.fromEntries(table) as Record<Crossing, Row>;
}
