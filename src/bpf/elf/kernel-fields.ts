/**
 * Parts of a map's value that BTF gives to the kernel: timers, lists, trees, pointers to its objects. A program may not
 * read or write their bytes. (A bpf_spin_lock is known by itself: see MapDef.)
 */
import type { KernelField } from "../program.ts";
import type { Btf } from "./btf.ts";
import { Malformed } from "./reader.ts";

/** Structs that are the kernel's wherever they stand (<linux/bpf.h>). */
const STRUCTS: ReadonlySet<string> = new Set([
  ...["bpf_timer", "bpf_wq", "bpf_task_work", "bpf_refcount", "bpf_res_spin_lock"],
  ...["bpf_list_head", "bpf_list_node", "bpf_rb_root", "bpf_rb_node"],
]);
/** Tags of pointers to kernel objects, and what Linux calls such a field. */
const POINTER_TAGS: Readonly<Record<string, string>> = {
  kptr: "kptr",
  kptr_untrusted: "kptr",
  percpu_kptr: "percpu_kptr",
  uptr: "uptr",
};
/** Structs in structs are looked into no further than this. */
const MAX_DEPTH = 8;
/** Linux keeps at most 11 fields of a value (BTF_FIELDS_MAX); an array of more is one field here, from end to end. */
const MAX_ELEMENTS = 11;
/** Types looked at for one value: structs of structs of structs can be very many. */
const MAX_LOOKS = 20_000;

/** @param base byte offset of the type within the value. @throws Malformed when it is made of too many parts */
export function kernelFields(
  btf: Btf,
  typeId: number,
  base = 0,
  depth = 0,
  looks = { left: MAX_LOOKS },
): KernelField[] {
  if (--looks.left < 0)
    throw new Malformed(`BTF type ${typeId} is in a value of more than ${MAX_LOOKS} parts`);
  if (depth > MAX_DEPTH) return [];
  const type = btf.resolve(typeId);
  switch (type.kind) {
    case "struct":
    case "union":
      if (STRUCTS.has(type.name)) return [{ name: type.name, offset: base, bytes: type.bytes }];
      return type.members.flatMap((member) =>
        kernelFields(btf, member.type, base + (member.bitOffset >>> 3), depth + 1, looks),
      );
    case "array": {
      const inFirst = kernelFields(btf, type.type, base, depth + 1, looks);
      const stride = btf.sizeOf(type.type) ?? 0;
      const [first] = inFirst;
      if (first === undefined) return [];
      if (type.count > MAX_ELEMENTS) return [{ ...first, offset: base, bytes: type.count * stride }];
      return Array.from({ length: type.count }, (_, i) =>
        inFirst.map((field) => ({ ...field, offset: field.offset + i * stride })),
      ).flat();
    }
    case "ptr": {
      const name = pointerTag(btf, type.type);
      return name === null ? [] : [{ name, offset: base, bytes: 8 }];
    }
    default:
      return [];
  }
}

function pointerTag(btf: Btf, typeId: number): string | null {
  let type = btf.type(typeId);
  for (let depth = 0; type.kind === "alias" && depth < MAX_DEPTH; depth++) {
    const known = Object.hasOwn(POINTER_TAGS, type.name) ? POINTER_TAGS[type.name] : undefined;
    if (known !== undefined) return known;
    type = btf.type(type.type);
  }
  return null;
}
