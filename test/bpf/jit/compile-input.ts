/** What an engine compiles, from assembly text or from instructions, without a kernel around it. */
import { assemble } from "../../../src/bpf/assembler.ts";
import { decode, type Slots } from "../../../src/bpf/codec.ts";
import type { CompileInput } from "../../../src/bpf/engine.ts";
import { checkProgram } from "../../../src/bpf/load-checks.ts";
import { makeMap } from "../../../src/bpf/maps/create.ts";
import type { MapDef } from "../../../src/bpf/program.ts";
import { Runtime } from "../../../src/bpf/runtime.ts";

type Options = { readonly checked: boolean; readonly rt?: Runtime };

export function inputOfText(text: string, options: Options): CompileInput {
  const assembled = assemble(text, { type: "xdp" });
  if (!assembled.ok) throw new Error(`line ${assembled.errors[0].line}: ${assembled.errors[0].message}`);
  const { bytecode, maps } = assembled.program;
  const decoded = decode(bytecode);
  if (!decoded.ok) throw new Error(decoded.error.message);
  return inputOfSlots(decoded.slots, maps, options);
}

export function inputOfSlots(slots: Slots, maps: readonly MapDef[], options: Options): CompileInput {
  const check = checkProgram(slots, maps.length);
  if (!check.ok) throw new Error(`insn ${check.insn}: ${check.message}`);
  const rt = options.rt ?? new Runtime();
  const made = maps.map((def) => {
    const map = makeMap(rt, def, rt.maps.length);
    rt.maps.push(map);
    return map;
  });
  return { slots, functions: check.functions, maps: made, rt, checked: options.checked };
}
