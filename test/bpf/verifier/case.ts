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
