/* The walk of probes/unwind_step.h for user space: over copies of stacks, and for tests. */
#pragma once
#include "../../../probes/unwind.h"

/* A walk over the copy of a stack. */
struct swtrace_walk {
	struct swtrace_unwinder state;
	const void *stack;              /* what lay in memory from stack_start on */
	__u64 stack_start, stack_size;
	int is_partial;                 /* whether the stack may go on behind what was copied */
	int is_cut;                     /* whether a read went there last */
	/* Finds the rule that holds at an instruction: 0, or an enum swtrace_unwind_ending. */
	int (*find)(void *context, __u64 ip, struct swtrace_unwind_rule *rule);
	void *context;
	struct swtrace_unwind_rule rule;
	__u64 frames[SWTRACE_UNWIND_DEPTH + 1];
};

/* Walks on from `state`, whose ending says afterwards why it stopped; `frames` from state.count on are filled. */
void swtrace_walk_run(struct swtrace_walk *walk);

/* The searches of the probes over what user space has put into the maps. */
__u32 swtrace_search_mappings(const struct swtrace_mapping *page, __u64 ip);
__u32 swtrace_search_rows(const __u32 *page, __u32 slot, __u32 count, __u32 before, __u8 low);
