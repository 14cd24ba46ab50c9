/** Writes small ELF64 eBPF objects for tests, without checking anything: lies are the point. */
export type SectionSpec = {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly data: Uint8Array;
  readonly size?: number;
  readonly info?: number;
};
export type SymbolSpec = {
  readonly name: string;
  readonly nameOffset?: number;
  readonly section: number;
  readonly value: number;
  readonly size: number;
  /** 2 (a function) unless said otherwise. */
  readonly type?: number;
  readonly isLocal?: boolean;
};
export type SymbolTable = { readonly symbols: Uint8Array; readonly names: Uint8Array };

export function symbolTable(specs: readonly SymbolSpec[], names?: Uint8Array): SymbolTable {
  const symbols = new Uint8Array((specs.length + 1) * 24);
  const view = new DataView(symbols.buffer);
  const offsets = new Map<string, number>();
  let text = "\0";
  specs.forEach((spec, index) => {
    const at = (index + 1) * 24;
    let offset = spec.nameOffset ?? offsets.get(spec.name);
    if (offset === undefined) {
      offset = text.length;
      offsets.set(spec.name, offset);
      text += `${spec.name}\0`;
    }
    view.setUint32(at, offset, true);
    view.setUint8(at + 4, ((spec.isLocal ? 0 : 1) << 4) | (spec.type ?? 2));
    view.setUint16(at + 6, spec.section, true);
    view.setBigUint64(at + 8, BigInt(spec.value), true);
    view.setBigUint64(at + 16, BigInt(spec.size), true);
  });
  return { symbols, names: names ?? new TextEncoder().encode(text) };
}

/** Section numbers are those of `specs`, from 1; symbol and string tables follow. */
export function buildElf(specs: readonly SectionSpec[], { symbols, names }: SymbolTable): Uint8Array {
  const all: (SectionSpec & { link?: number })[] = [
    { name: "", type: 0, flags: 0, data: new Uint8Array(0) },
    ...specs,
    { name: ".symtab", type: 2, flags: 0, data: symbols, link: specs.length + 2 },
    { name: ".strtab", type: 3, flags: 0, data: names },
  ];
  let sectionNames = "\0";
  const nameOffsets = [...all, { name: ".shstrtab" }].map(({ name }) => {
    const at = sectionNames.length;
    sectionNames += `${name}\0`;
    return at;
  });
  all.push({ name: ".shstrtab", type: 3, flags: 0, data: new TextEncoder().encode(sectionNames) });
  const dataBytes = all.reduce((sum, { data }) => sum + data.length, 0);
  const bytes = new Uint8Array(64 + dataBytes + all.length * 64);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 1, true);
  view.setUint16(18, 247, true);
  view.setBigUint64(40, BigInt(64 + dataBytes), true);
  view.setUint16(58, 64, true);
  view.setUint16(60, all.length, true);
  view.setUint16(62, all.length - 1, true);
  let at = 64;
  all.forEach((section, index) => {
    const header = 64 + dataBytes + index * 64;
    bytes.set(section.data, at);
    view.setUint32(header, nameOffsets[index] ?? 0, true);
    view.setUint32(header + 4, section.type, true);
    view.setBigUint64(header + 8, BigInt(section.flags), true);
    view.setBigUint64(header + 24, BigInt(at), true);
    view.setBigUint64(header + 32, BigInt(section.size ?? section.data.length), true);
    view.setUint32(header + 40, section.link ?? 0, true);
    view.setUint32(header + 44, section.info ?? 0, true);
    at += section.data.length;
  });
  return bytes;
}
