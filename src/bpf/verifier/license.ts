/** Licences that the kernel takes for GPL-compatible (include/linux/license.h). */
const GPL = new Set([
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL",
]);

export function isGplCompatible(license: string): boolean {
  return GPL.has(license);
}
