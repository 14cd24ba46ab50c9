/* SPDX-License-Identifier: MIT */
/*
 * The hot tier in an LRU_HASH map. The map evicts when and whom it likes, and its values can neither hold a lock
 * nor be updated and checked in one step; so nothing of an entry's truth is kept in the entry. It carries the
 * generation its slot had when its value was asked for, and may be served while the slot still has that one. A
 * write only moves the slot on: whatever was filled before, or is filled late, is dead without being touched.
 *
 * An element may be evicted and used anew while we read it. hot_look therefore copies it out and looks it up
 * once more: it was ours all the time if the same element is found and its stamp, new with each fill, is the same.
 */
#ifndef HOT_LRU_H
#define HOT_LRU_H

static __always_inline u32 hot_slot(u32 hash)
{
	return hash % (hot_entries() * HOT_SLOTS_PER_ENTRY);
}

static __always_inline struct hot_entry *hot_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&hot_copy, &zero);
}

/*
 * As in hot_ways.h, but what comes back is a copy already, whose fields belong together. There are no collisions:
 * a miss is a key not filled yet, written, or evicted.
 */
static __always_inline struct hot_entry *hot_look(u32 hash, u32 slot, u32 *generation, u32 *why)
{
	struct hot_guard *guard = bpf_map_lookup_elem(&hot_guard, &slot);
	struct hot_entry *entry, *copy = hot_scratch();
	u32 i;

	*why = RUN_COLD;
	if (!guard || !copy)
		return 0;
	*generation = guard->generation;
	entry = bpf_map_lookup_elem(&hot_lru, &hash);
	if (!entry || entry->generation != *generation)
		return 0;
	for (i = 0; i < __builtin_offsetof(struct hot_entry, key) / 8; i++)
		((u64 *)copy)[i] = ((u64 *)entry)[i];
	FORGET();
	for (i = 0; i < HOT_KEY_MAX / 8 + 1; i++) {
		if (8 * i >= copy->key_len)
			break;
		*(u64 *)(copy->key + 8 * i) = *(u64 *)(entry->key + 8 * i);
	}
	FORGET();
	for (i = 0; i < HOT_VALUE_MAX / 8; i++) {
		if (8 * i >= copy->value_len)
			break;
		*(u64 *)(copy->value + 8 * i) = *(u64 *)(entry->value + 8 * i);
	}
	FORGET();
	if (bpf_map_lookup_elem(&hot_lru, &hash) == entry && entry->stamp == copy->stamp)
		return copy;
	*why = RUN_RACED;
	return 0;
}

/* Nobody else has the copy. */
static __always_inline void hot_hold(struct hot_entry *entry)
{
}

static __always_inline void hot_release(struct hot_entry *entry, int hit)
{
}

static __always_inline struct hot_entry *hot_claim(u32 hash, u32 slot, u32 generation)
{
	struct hot_guard *guard = bpf_map_lookup_elem(&hot_guard, &slot);
	struct hot_entry *copy = hot_scratch();

	if (!guard || !copy || guard->generation != generation || guard->writers)
		return 0; /* a courtesy to the entry that may be there: filled late, ours would be dead */
	copy->generation = generation;
	return copy;
}

static __always_inline void hot_commit(struct hot_entry *entry, u32 hash)
{
	entry->hash = hash;
	entry->state = HOT_VALID;
	entry->stamp = bpf_ktime_get_ns();
	entry->writers = 0;
	bpf_map_update_elem(&hot_lru, &hash, entry, BPF_ANY);
}

static __always_inline u32 hot_drop(u32 hash, u32 slot)
{
	struct hot_guard *guard = bpf_map_lookup_elem(&hot_guard, &slot);
	struct hot_entry *entry = bpf_map_lookup_elem(&hot_lru, &hash);
	u32 live;

	if (!guard)
		return 0;
	live = entry && entry->generation == guard->generation;
	__sync_fetch_and_add(&guard->generation, 1);
	if (entry)
		bpf_map_delete_elem(&hot_lru, &hash); /* dead already: this makes room */
	return live;
}

static long hot_drop_one(u32 at, void *unused)
{
	struct hot_guard *guard = bpf_map_lookup_elem(&hot_guard, &at);

	if (!guard)
		return 1;
	__sync_fetch_and_add(&guard->generation, 1);
	return 0;
}

static __always_inline void hot_drop_all(void)
{
	bpf_loop(hot_entries() * HOT_SLOTS_PER_ENTRY, hot_drop_one, 0, 0);
}

#endif
