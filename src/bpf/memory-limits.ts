/** Limits of a WebAssembly memory, and what is thrown at them. */
export const PAGE_BYTES = 65_536;
/** WebAssembly's 32-bit address space, in pages. */
export const MAX_PAGES = 65_536;

/** Thrown when the linear memory cannot hold what was asked for. */
export class OutOfMemory extends Error {
  readonly code = "OUT_OF_MEMORY";
}

/** Thrown when a machine asks a shared memory for what another laid out differently. */
export class LayoutMismatch extends Error {
  readonly code = "LAYOUT_MISMATCH";
}
