/**
 * A function's BTF prototype as the verifier takes it: what each argument may be, with the tags that libbpf's
 * __arg_ctx and __arg_nonnull leave. Wording of what cannot be used: the kernel's.
 */
import type { FuncArg, ProgramType, Subprogram } from "../program.ts";
import type { Btf, BtfType } from "./btf.ts";
import { Malformed } from "./reader.ts";

/** The struct a program type's context pointer points to. */
const CONTEXT_STRUCT: Readonly<Record<ProgramType, string>> = {
  xdp: "xdp_md",
  tc: "__sk_buff",
  sk_skb: "__sk_buff",
  socket_filter: "__sk_buff",
};

const TAG_PREFIX = "arg:";
/** Tags of kernel objects' pointers, which no program type here can hold. */
const KERNEL_TAGS = ["trusted", "untrusted", "nullable", "arena"];

/** @param func id of the function, @param signature id of its prototype */
export function prototype(
  btf: Btf,
  func: number,
  signature: number,
  type: ProgramType,
): Pick<Subprogram, "args" | "returnsNoScalar"> {
  const proto = btf.resolve(signature);
  if (proto.kind !== "func_proto") throw new Malformed(`BTF type ${signature} of a function is no prototype`);
  const result = btf.resolve(proto.result).kind;
  return {
    args: proto.params.map((param, index) => argument(btf, param, tags(btf, func, index), type)),
    ...(result !== "int" && result !== "enum" && { returnsNoScalar: true }),
  };
}

function tags(btf: Btf, func: number, parameter: number): string[] {
  const all = btf.tagsOf(func, parameter).filter((name) => name.startsWith(TAG_PREFIX));
  return all.map((name) => name.slice(TAG_PREFIX.length));
}

function argument(btf: Btf, param: number, tagged: readonly string[], type: ProgramType): FuncArg {
  const resolved = btf.resolve(param);
  if (resolved.kind !== "ptr") return { kind: "scalar", bytes: btf.sizeOf(param) ?? 0 };
  const pointee = btf.resolve(resolved.type);
  const typeName = "name" in pointee ? pointee.name : pointee.kind;
  if (typeName === CONTEXT_STRUCT[type]) return { kind: "ctx" };
  const unknown = tagged.find((tag) => tag !== "ctx" && tag !== "nonnull" && !KERNEL_TAGS.includes(tag));
  if (unknown !== undefined) return { kind: "unusable", problem: "has unsupported set of tags" };
  if (tagged.includes("ctx")) return { kind: "ctx" };
  if (tagged.some((tag) => KERNEL_TAGS.includes(tag))) {
    return { kind: "unusable", problem: `reference type('${written(pointee)}') has no matches` };
  }
  const pointeeBytes = btf.sizeOf(resolved.type);
  if (pointeeBytes === null) {
    return {
      kind: "unusable",
      problem: `reference type('${written(pointee)}') size cannot be determined: -22`,
    };
  }
  return { kind: "pointer", pointeeBytes, typeName, ...(tagged.includes("nonnull") && { nonNull: true }) };
}

/** Kind and name as the kernel prints them; it has no word for void. */
function written(type: BtfType): string {
  return type.kind === "void" ? "UNKNOWN " : `${type.kind.toUpperCase()} ${"name" in type ? type.name : ""}`;
}
