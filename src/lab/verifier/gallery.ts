/** Programs to start from: the shipped fast path, a first program, each rule broken and repaired. */
import { RULES, type RuleId } from "../../bpf/verifier/rules.ts";
import type { VerifyOptions } from "../../bpf/verifier/verify.ts";
import objectUrl from "../../programs/http_kv.bpf.o?url";
import { RULE_EXAMPLES } from "./rule-examples.ts";

export type GalleryEntry = {
  readonly id: string;
  readonly title: string;
  readonly options: VerifyOptions;
} & (
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "object"; readonly url: string; readonly program: string }
);
export type GalleryGroup = { readonly title: string; readonly entries: readonly GalleryEntry[] };

const FIRST = `; answer a GET by turning the packet round
.type xdp
r2 = *(u32 *)(r1 + 0)        ; data
r3 = *(u32 *)(r1 + 4)        ; data_end
r0 = 2                       ; XDP_PASS
r4 = r2
r4 += 4
if r4 > r3 goto done         ; shorter than 'GET '
r5 = *(u32 *)(r2 + 0)
if r5 != 0x20544547 goto done
*(u8 *)(r2 + 0) = 0x42       ; 'BET '
r0 = 3                       ; XDP_TX
done: exit
`;

const shipped = (program: string, title: string): GalleryEntry => {
  return { id: program, title, options: {}, kind: "object", url: objectUrl, program };
};

export const GALLERY: readonly GalleryGroup[] = [
  {
    title: "Programs",
    entries: [
      { id: "first", title: "A first program", options: {}, kind: "text", text: FIRST },
      shipped("http_kv_verdict", "The shipped fast path: answer GET /kv/… at the socket"),
      shipped("http_kv_parser", "The shipped stream parser: cut requests out of TCP"),
    ],
  },
  ...Object.entries(RULE_EXAMPLES).map(([rule, { broken, fixed, options = {} }]): GalleryGroup => {
    const entry = (id: string, title: string, text: string): GalleryEntry => {
      return { id, title, options, kind: "text", text: `${text}\n` };
    };
    return {
      title: `Rule ${rule}: ${RULES[rule as RuleId].title}`,
      entries: [entry(rule, `${rule}, broken`, broken), entry(`${rule}-fixed`, `${rule}, repaired`, fixed)],
    };
  }),
];

/** @returns the entry of this id, else the first */
export function galleryEntry(id: string): GalleryEntry {
  const all = GALLERY.flatMap((group) => group.entries);
  const found = all.find((entry) => entry.id === id) ?? all[0];
  if (!found) throw new Error("the gallery is empty");
  return found;
}
