/** Records with a byte offset, sorted by it, and the part of them inside a range: by binary search. */
export function sortByOffset<T extends { readonly offset: number }>(records: T[]): T[] {
  return records.sort((a, b) => a.offset - b.offset);
}

/** Those with start <= offset < end. */
export function within<T extends { readonly offset: number }>(
  sorted: readonly T[],
  start: number,
  end: number,
): readonly T[] {
  return sorted.slice(lowerBound(sorted, start), lowerBound(sorted, end));
}

function lowerBound(sorted: readonly { readonly offset: number }[], offset: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]!.offset < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
