/** Programs that several threads run over the same maps. Each takes the slot from the packet's first byte. */

const SLOT = `
  r6 = *(u32 *)(r1 + 0)
  r7 = *(u32 *)(r1 + 4)
  r2 = r6
  r2 += 8
  if r2 > r7 goto none
  r2 = *(u8 *)(r6 + 0)
  *(u32 *)(r10 - 4) = r2
  r2 = r10
  r2 += -4
  r1 = slots ll
  call bpf_map_lookup_elem
  if r0 == 0 goto none
  r8 = r0`;

const WORDS = Array.from({ length: 16 }, (_, i) => 8 + 8 * i);
/** The locked value: a bpf_spin_lock, then 16 words that are always equal. */
export const SLOT_BYTES = 8 + 16 * 8;

/** Adds one to each word under the lock. r0: 1 when the words were not equal before, else 0. */
export const LOCKED = `
.map slots array key=4 value=${SLOT_BYTES} entries=4 lock=0
${SLOT}
  r9 = 0
  r1 = r8
  call bpf_spin_lock
  r1 = *(u64 *)(r8 + 8)
${WORDS.map(
  (at) => `
  r2 = *(u64 *)(r8 + ${at})
  if r2 == r1 goto same${at}
  r9 = 1
same${at}:
  r2 += 1
  *(u64 *)(r8 + ${at}) = r2`,
).join("")}
  r1 = r8
  call bpf_spin_unlock
  r0 = r9
  exit
none:
  r0 = 2
  exit
`;

/** Counts in every way an atomic can: the plain forms, and each fetching one by a loop or a ticket. */
export const ATOMIC = `
.map slots array key=4 value=48 entries=4
${SLOT}
  r1 = 1
  lock *(u64 *)(r8 + 0) += r1
  lock *(u32 *)(r8 + 8) += r1
  r1 = 1
  r1 = atomic_fetch_add((u64 *)(r8 + 16), r1)
  r3 = 0
again:
  r3 += 1
  if r3 > 2000 goto none
  r0 = *(u64 *)(r8 + 24)
  r4 = r0
  r2 = r0
  r2 += 1
  r0 = cmpxchg_64(r8 + 24, r0, r2)
  if r0 != r4 goto again
  w1 = 1
  lock *(u32 *)(r8 + 32) ^= w1
  r0 = 0
  exit
none:
  r0 = 2
  exit
`;

/** Puts a key of four possible ones into a small LRU hash, looks one up, deletes one. r0: 1 when a value is not its key's. */
export const HASHED = `
.map recent lru_hash key=4 value=16 entries=3
  r6 = *(u32 *)(r1 + 0)
  r7 = *(u32 *)(r1 + 4)
  r2 = r6
  r2 += 8
  if r2 > r7 goto none
  r8 = *(u8 *)(r6 + 0)
  *(u32 *)(r10 - 4) = r8
  *(u64 *)(r10 - 24) = r8
  *(u64 *)(r10 - 16) = r8
  r2 = r10
  r2 += -4
  r3 = r10
  r3 += -24
  r4 = 0
  r1 = recent ll
  call bpf_map_update_elem
  r8 = *(u8 *)(r6 + 1)
  *(u32 *)(r10 - 4) = r8
  r2 = r10
  r2 += -4
  r1 = recent ll
  call bpf_map_delete_elem
  r0 = 0
  exit
none:
  r0 = 2
  exit
`;
