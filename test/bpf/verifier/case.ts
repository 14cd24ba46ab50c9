/** A row of the case tables: a small program, and what Linux 6.18 says of it as root. */
export type Case = {
  readonly name: string;
  readonly text: string;
  readonly accepts: boolean;
  /** A piece of the kernel's message that ours must carry as well. */
  readonly says?: string;
};

export const ok = (name: string, text: string): Case => ({ name, text, accepts: true });
export const no = (name: string, says: string, text: string): Case => ({ name, text, accepts: false, says });

// What programs of the tables begin and end with.
export const LOOKUP = `*(u64 *)(r10 - 8) = 0
r2 = r10
r2 += -8
r1 = m ll
call bpf_map_lookup_elem`;
export const HASH = ".map m hash key=8 value=48 entries=4";
export const LOCK = ".map m hash key=8 value=48 entries=4 lock=0";
export const PACKET = `r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)`;
export const out = "out: r0 = 0\nexit";

/** After a successful look-up: r0 points to a 48-byte value. */
export const value = (body: string, type = "xdp") =>
  `.type ${type}\n${HASH}\n${LOOKUP}\nif r0 == 0 goto out\n${body}\n${out}`;
export const packet = (body: string, type = "xdp") => `.type ${type}\n${PACKET}\n${body}\n${out}`;
export const plain = (body: string, type = "xdp") => `.type ${type}\n${body}`;
