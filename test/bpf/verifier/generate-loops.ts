/**
 * Programs of loops whose rounds nobody counts: open-coded iterators and may_goto, nested, left early, around
 * registers and stack slots that move, change and index a map value. A seed gives the same program each time.
 */
import type { Program } from "../../../src/bpf/program.ts";
import { FUZZ_MAPS, VALUE_BYTES } from "./generate/maps.ts";
import { Random } from "./generate/random.ts";
import { program } from "./program-text.ts";

const REGISTERS = ["r6", "r7", "r9"];
const NUMBERS = [0, 1, 3, 7, 8, 15, 31, 39, 40, VALUE_BYTES - 1, VALUE_BYTES, 100];
const MASKS = [7, 15, 31, VALUE_BYTES - 1, 127];
const SPILLS = ["r10 - 32", "r10 - 40"];
const COMPARISONS = [">", "s>", ">=", "==", "!=", "<", "s<"];
/** Where iterators may live. */
const PLACES = [-8, -16, -24];
const MAX_DEPTH = 4;

class LoopBuilder {
  readonly lines: string[] = [];
  readonly #random: Random;
  /** Labels a `goto` may leave or go on by, innermost last. */
  readonly #exits: string[] = [];
  readonly #live: number[] = [];
  #labels = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  body(): void {
    for (let count = 1 + this.#random.below(4); count > 0; count--) this.#statement();
  }

  loop(): void {
    const place = PLACES.find((candidate) => !this.#live.includes(candidate));
    if (this.#random.chance(25) || place === undefined) this.#mayGoto();
    else this.#iterator(place);
  }

  #iterator(place: number): void {
    const again = this.#label();
    const end = this.#label();
    const at = `r1 = r10\nr1 += ${place}`;
    this.#live.push(place);
    this.#add(at, "r2 = 0", `r3 = ${this.#random.pick([0, 1, 3, 20])}`, "call bpf_iter_num_new");
    this.#add(`${again}: ${at}`, "call bpf_iter_num_next", `if r0 == 0 goto ${end}`);
    if (this.#random.chance(50)) this.#add(`${this.#register()} = *(u32 *)(r0 + 0)`);
    this.#round(again, end);
    this.#add(`goto ${again}`, `${end}: ${at}`);
    // Now and then it is left behind, which must be noticed.
    if (!this.#random.chance(2)) this.#add("call bpf_iter_num_destroy");
    this.#live.pop();
  }

  #mayGoto(): void {
    const again = this.#label();
    const end = this.#label();
    this.#add(`${again}: may_goto ${end}`);
    this.#round(again, end);
    // A round is bounded in the run too: eight million of them would take their time.
    this.#add("call bpf_get_prandom_u32", `if r0 == 0 goto ${end}`, `goto ${again}`, `${end}: r0 = 0`);
  }

  #round(again: string, end: string): void {
    this.#exits.push(again, end);
    this.body();
    this.#exits.length -= 2;
  }

  #statement(): void {
    const a = this.#register();
    const b = this.#register();
    const pick = <T>(from: readonly T[]): T => this.#random.pick(from);
    const size = pick(["u64", "u64", "u32"]);
    const below9 = this.#random.below(9);
    const statements: readonly (() => void)[] = [
      () => this.#add(`${a} = ${pick(NUMBERS)}`),
      () => this.#add(`${a} += ${pick([1, 1, 2, -1, 8])}`),
      () => this.#add(`${a} = ${b}`),
      () => this.#add(`${a} += ${b}`),
      () => this.#add(`${a} &= ${pick(MASKS)}`),
      () => this.#add(`*(${size} *)(${pick(SPILLS)}) = ${a}`),
      () => this.#add(`${a} = *(${size} *)(${pick(SPILLS)})`),
      () => this.#access(a),
      () => {
        this.#access(a);
        this.#add(`${b} = r2`);
      },
      () => this.#guarded(`if ${a} ${pick(COMPARISONS)} ${pick(NUMBERS)}`),
      () => {
        this.#add("call bpf_get_prandom_u32");
        this.#guarded(`if r0 == ${below9}`);
      },
      () => this.#add(`if ${a} > ${pick(NUMBERS)} goto ${this.#exit()}`),
      () => this.#add("call bpf_get_prandom_u32", `if r0 == ${below9} goto ${this.#exit()}`),
      () => {
        if (this.#exits.length < 2 * MAX_DEPTH) this.loop();
      },
    ];
    pick(statements)();
  }

  /** Of the map value, wherever the register says. */
  #access(index: string): void {
    this.#add("r1 = r8", `r1 += ${index}`, `r2 = *(u8 *)(r1 + ${this.#random.pick([0, 0, 0, 1, 8, 20])})`);
  }

  #guarded(condition: string): void {
    const over = this.#label();
    this.#add(`${condition} goto ${over}`);
    if (this.#exits.length < 2 * MAX_DEPTH) this.body();
    this.#add(`${over}: r0 = 0`);
  }

  /** Of the innermost loop, as a rule: further out, or out of the program, an iterator is left behind. */
  #exit(): string {
    if (this.#exits.length === 0 || this.#random.chance(2)) return "none";
    return this.#random.pick(this.#exits.slice(-2));
  }

  #register(): string {
    return this.#random.pick(REGISTERS);
  }

  #label(): string {
    return `l${this.#labels++}`;
  }

  #add(...lines: string[]): void {
    this.lines.push(...lines);
  }
}

export function generateLoops(seed: number): Program {
  const builder = new LoopBuilder(new Random(seed));
  builder.body();
  builder.loop();
  builder.body();
  const made = program(`.type xdp
.license GPL
.map m array key=4 value=${VALUE_BYTES} entries=1
*(u32 *)(r10 - 44) = 0
r2 = r10
r2 += -44
r1 = m ll
call bpf_map_lookup_elem
if r0 == 0 goto none
r8 = r0
r6 = 0
r7 = 1
r9 = 5
*(u64 *)(${SPILLS[0]}) = r6
*(u64 *)(${SPILLS[1]}) = r6
${builder.lines.join("\n")}
none: r0 = 0
exit`);
  return { ...made, maps: [FUZZ_MAPS.array] };
}
