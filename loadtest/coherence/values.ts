/**
 * Values that tell on themselves. Each write's value is one record, unique, with filler of a stated length
 * that follows from its name; so a torn, foreign or shortened value is noticed where it is read, and what is
 * appended to a value can be told apart again. The filler has line ends and NULs: values are bytes.
 */
const RECORD = /^<(\d+\.\d+) (\d+)>/;
const PATTERN = "\r\nEND\r\nVALUE \0abcdefghijklmnopqrstuvwxyz";

/** @param size of the whole record in bytes, to within a few; latin1, one char a byte */
export function recordOf(name: string, size: number): string {
  const filler = Math.max(0, size - name.length - 6);
  return `<${name} ${filler}>${fillerOf(name, filler)}`;
}

/** The names of the records a value is made of, joined as the model writes them; throws on a damaged one. */
export function namesIn(value: string): string {
  let names = "";
  let at = 0;
  while (at < value.length) {
    const match = RECORD.exec(value.slice(at, at + 64));
    if (!match) {
      if (/^\d+ *$/.test(value)) return value.trimEnd(); // a counter
      throw new DamagedValue(
        `bytes from ${at} on are no record: ${JSON.stringify(value.slice(at, at + 60))}`,
      );
    }
    const [head, name = "", length] = match;
    const from = at + head.length;
    const filler = value.slice(from, from + Number(length));
    if (filler !== fillerOf(name, Number(length))) {
      throw new DamagedValue(
        `the filler of record ${name} is not its own: ${JSON.stringify(filler.slice(0, 60))}`,
      );
    }
    names += modelName(name);
    at = from + Number(length);
  }
  return names;
}

/** How the model writes the record: no name is part of another. */
export function modelName(name: string): string {
  return `<${name}>`;
}

export class DamagedValue extends Error {}

function fillerOf(name: string, length: number): string {
  const from = Number(name.replace(".", "")) % PATTERN.length;
  return PATTERN.repeat(Math.ceil((length + from) / PATTERN.length)).slice(from, from + length);
}
