#include "CUnwind.h"
#include <stddef.h>
#include <string.h>

#include "../../probes/unwind_step.h"

/* The state is a walk's first member. */
static struct swtrace_walk *walk_of(struct swtrace_unwinder *st)
{
	return (struct swtrace_walk *)st;
}

static __always_inline long unwind_read(struct swtrace_unwinder *st, void *to, __u32 size, __u64 from)
{
	struct swtrace_walk *walk = walk_of(st);
	__u64 place = from - walk->stack_start;

	if (from < walk->stack_start || place > walk->stack_size || size > walk->stack_size - place) {
		/* Frames lie above the copy, not below it. */
		walk->is_cut = from >= walk->stack_start && walk->is_partial;
		return -1;
	}
	memcpy(to, (const char *)walk->stack + place, size);
	walk->is_cut = 0;
	return 0;
}

static __always_inline long unwind_read_pair(struct swtrace_unwinder *st, __u64 *to, __u64 from, int upward)
{
	return unwind_read(st, to, 2 * sizeof(*to), from);
}

static __always_inline const struct swtrace_unwind_rule *unwind_rule(struct swtrace_unwinder *st, __u64 ip)
{
	struct swtrace_walk *walk = walk_of(st);
	int ending = walk->find(walk->context, ip, &walk->rule);

	if (!ending)
		return &walk->rule;
	unwind_stop(st, ending);
	return NULL;
}

static __always_inline void unwind_keep(struct swtrace_unwinder *st, __u32 index, __u64 address)
{
	if (index < SWTRACE_UNWIND_DEPTH + 1)
		walk_of(st)->frames[index] = address;
}

/* With the copy of a stack come those of which the walk is made only. */
static __always_inline long unwind_register(struct swtrace_unwinder *st, __u8 number, __u64 *to)
{
	return -1;
}

/* A copy of a stack has no tasks. */
static __always_inline long unwind_running_task(struct swtrace_unwinder *st)
{
	return 1;
}

void swtrace_walk_run(struct swtrace_walk *walk)
{
	struct swtrace_unwinder *st = &walk->state;

	st->ending = SWTRACE_END_UNREADABLE;
	for (int i = 0; i < SWTRACE_UNWIND_DEPTH + 1; i++)
		if (unwind_frame(st))
			break;
	if ((st->ending == SWTRACE_END_UNREADABLE || st->ending == SWTRACE_END_GAP) && walk->is_cut)
		st->ending = SWTRACE_END_CUT;
	/* A frame whose rule is not known is one all the same. */
	if (st->ending >= SWTRACE_END_NO_PROCESS && st->ending <= SWTRACE_END_NO_TABLE)
		st->count++;
}

__u32 swtrace_search_mappings(const struct swtrace_mapping *page, __u64 ip)
{
	return unwind_search_mappings(page, ip);
}

__u32 swtrace_search_rows(const __u32 *page, __u32 slot, __u32 count, __u32 before, __u8 low)
{
	return unwind_search_rows(page, slot, count, before, low);
}
