/* SPDX-License-Identifier: MIT */
/* Text eight bytes at a time: characters as the numbers that little-endian loads of them give. */
#ifndef BYTES_H
#define BYTES_H

#include "hot_map.h"

#define CH8(a, b, c, d, e, f, g, h)                                                                   \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 | \
	 (u64)(g) << 48 | (u64)(h) << 56)
#define CH4(a, b, c, d) ((u32)(a) | (u32)(b) << 8 | (u32)(c) << 16 | (u32)(d) << 24)
#define CH2(a, b) ((u16)((a) | (b) << 8))
#define FIRST(n) ((1ull << (8 * (n))) - 1) /* mask of a word's first n bytes */

/* Marks the bytes of w that equal b; exact for the lowest (first_byte_of). */
static __always_inline u64 bytes_equal(u64 w, u8 b)
{
	u64 x = w ^ EVERY(b);

	return (x - EVERY(1)) & ~x & EVERY(0x80);
}

/* 1 or 0 without a branch, for small numbers: loops stay one way for the verifier. */
#define EQUAL(a, b) ((((u32)(a) ^ (u32)(b)) - 1) >> 31)
#define LESS(a, b) (((u32)(a) - (u32)(b)) >> 31)

/* Where the packet is now. The barrier keeps the compiler from merging two readings as 32-bit numbers. */
#define PACKET(skb, data, end)                     \
	do {                                       \
		data = (void *)(long)(skb)->data;  \
		end = (void *)(long)(skb)->data_end; \
		asm volatile("" : "+r"(data), "+r"(end)); \
	} while (0)

#endif
