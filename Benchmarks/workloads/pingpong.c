/* Two threads on one processor hand a byte to and fro so many times: two switches and two wake-ups each. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

static int there[2], back[2];
static long rounds;

static void *answer(void *unused)
{
	char byte;

	for (long left = rounds; left > 0; left--)
		if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1)
			exit(1);
	return unused;
}

int main(int count, char **arguments)
{
	cpu_set_t one;
	pthread_t thread;
	char byte = 0;

	rounds = count > 1 ? atol(arguments[1]) : 200000;
	CPU_ZERO(&one);
	CPU_SET(1 % sysconf(_SC_NPROCESSORS_ONLN), &one);
	sched_setaffinity(0, sizeof(one), &one);
	if (pipe(there) || pipe(back) || pthread_create(&thread, 0, answer, 0))
		return 1;
	for (long left = rounds; left > 0; left--)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			return 1;
	pthread_join(thread, 0);
	return 0;
}
