/* SPDX-License-Identifier: MIT */
/*
 * The hot tier in an array of sets: HOT_WAYS entries side by side, of which way 0 is the slot and guards the set.
 * With one way this is BMC's direct-mapped cache. Each entry has its own lock; none is held beside another.
 *
 * Why a fill cannot outlive a write it did not see: hot_drop moves the generation first and then takes each
 * way's lock in turn; hot_claim looks at the generation with its way's lock held. So either the fill sees the
 * new generation, or the drop comes to that way after it.
 */
#ifndef HOT_WAYS_H
#define HOT_WAYS_H

/* Index of the first entry a key of this hash may be in; hot_map's user has a multiple of HOT_WAYS entries. */
static __always_inline u32 hot_slot(u32 hash)
{
	return hash % (hot_entries() / HOT_WAYS) * HOT_WAYS;
}

static __always_inline struct hot_entry *hot_way(u32 slot, u32 way)
{
	u32 at = slot + way;

	return bpf_map_lookup_elem(&HOT_MAP, &at);
}

/*
 * A first look without a lock: the entry of this hash, not yet told from another key of equal hash; or null and
 * why. `generation` is what a fill after this miss must present.
 */
static __always_inline struct hot_entry *hot_look(u32 hash, u32 slot, u32 *generation, u32 *why)
{
	u32 taken = 0;

	*why = RUN_COLD;
#pragma unroll
	for (u32 way = 0; way < HOT_WAYS; way++) {
		struct hot_entry *entry = hot_way(slot, way);

		if (!entry)
			return 0;
		if (way == 0)
			*generation = entry->generation;
		if (!(entry->state & HOT_VALID))
			continue;
		if (entry->hash == hash)
			return entry;
		taken++;
	}
	if (taken == HOT_WAYS)
		*why = RUN_COLLISION;
	return 0;
}

/* The entry's fields belong together until hot_release. */
static __always_inline void hot_hold(struct hot_entry *entry)
{
	bpf_spin_lock(&entry->lock);
}

/* @hit: it was served. */
static __always_inline void hot_release(struct hot_entry *entry, int hit)
{
	if (HOT_WAYS > 1 && hit)
		entry->state |= HOT_REFERENCED;
	bpf_spin_unlock(&entry->lock);
}

#if HOT_WAYS > 1
/* Whose place a key of this hash takes: its own, a free one, or that of whom the hand finds unreferenced. */
static __always_inline struct hot_entry *hot_victim(u32 hash, u32 slot)
{
	struct hot_entry *entry, *clock = hot_way(slot, 1), *free = 0;
	u32 hand, turn;

	if (!clock)
		return 0;
#pragma unroll
	for (u32 way = 0; way < HOT_WAYS; way++) {
		entry = hot_way(slot, HOT_WAYS - 1 - way);
		if (!entry)
			return 0;
		if (!(entry->state & HOT_VALID))
			free = entry;
		else if (entry->hash == hash)
			return entry;
	}
	if (free)
		return free;
	hand = clock->writers;
	for (turn = 0; turn < HOT_WAYS; turn++) {
		u32 referenced;

		entry = hot_way(slot, (hand + turn) % HOT_WAYS);
		if (!entry)
			return 0;
		bpf_spin_lock(&entry->lock);
		referenced = entry->state & HOT_REFERENCED;
		entry->state &= ~HOT_REFERENCED;
		bpf_spin_unlock(&entry->lock);
		if (!referenced)
			break;
	}
	clock->writers = (hand + turn + 1) % HOT_WAYS;
	return hot_way(slot, (hand + turn) % HOT_WAYS);
}
#endif

/* The entry to fill, all of it, up to hot_commit. Null: a write came between. */
static __always_inline struct hot_entry *hot_claim(u32 hash, u32 slot, u32 generation)
{
	struct hot_entry *home = hot_way(slot, 0), *entry = home;

	if (!home)
		return 0;
#if HOT_WAYS > 1
	if (home->generation != generation || home->writers)
		return 0; /* too late: nobody need make room */
	entry = hot_victim(hash, slot);
	if (!entry)
		return 0;
#endif
	bpf_spin_lock(&entry->lock);
	if (home->generation != generation || home->writers) {
		bpf_spin_unlock(&entry->lock);
		return 0;
	}
	return entry;
}

static __always_inline void hot_commit(struct hot_entry *entry, u32 hash)
{
	entry->hash = hash;
	entry->state = HOT_VALID;
	bpf_spin_unlock(&entry->lock);
}

/* Makes the slot unfillable for GETs under way and drops what it has of this hash. @returns whether it had */
static __always_inline u32 hot_drop(u32 hash, u32 slot)
{
	u32 dropped = 0;

	for (u32 way = 0; way < HOT_WAYS; way++) {
		struct hot_entry *entry = hot_way(slot, way);

		if (!entry)
			break;
		bpf_spin_lock(&entry->lock);
		if (way == 0)
			entry->generation++;
		if ((entry->state & HOT_VALID) && entry->hash == hash) {
			entry->state &= ~HOT_VALID;
			dropped = 1;
		}
		bpf_spin_unlock(&entry->lock);
	}
	return dropped;
}

static long hot_drop_one(u32 at, void *unused)
{
	struct hot_entry *entry = hot_way(at, 0);

	if (!entry)
		return 1;
	bpf_spin_lock(&entry->lock);
	entry->generation++;
	entry->state &= ~HOT_VALID;
	bpf_spin_unlock(&entry->lock);
	return 0;
}

static __always_inline void hot_drop_all(void)
{
	bpf_loop(hot_entries(), hot_drop_one, 0, 0);
}

#endif
