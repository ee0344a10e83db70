/* services BUSY SLEEPING: so many processes that answer requests all the time, and so many that wait 20 to 220 ms after each. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* Names that several share, as the workers of a server do. */
#define SERVICES 20

static volatile unsigned long sink;
static unsigned long seed;

/* Numbers by chance (Marsaglia, Xorshift RNGs), the same in every run. */
static unsigned long chance(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int compare(const void *a, const void *b)
{
	sink++;
	return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

__attribute__((noinline)) static void sort(void)
{
	static int all[4096];

	for (int i = 0; i < 4096; i++)
		all[i] = (int)chance();
	qsort(all, 4096, sizeof(int), compare);
}

__attribute__((noinline)) static void hash(void)
{
	static char text[8192];

	for (int i = 0; i < 8192; i++)
		sink = sink * 31 + text[i];
}

__attribute__((noinline)) static void format(void)
{
	char text[256];

	for (int i = 0; i < 64; i++)
		sink += snprintf(text, sizeof text, "%lu %s %f", chance(), "request", i / 3.0);
}

/* At several depths, so that there are many stacks. */
__attribute__((noinline)) static void request(unsigned long depth)
{
	if (depth > 0) {
		request(depth - 1);
		sink++;
		return;
	}
	switch (chance() % 3) {
	case 0: sort(); break;
	case 1: hash(); break;
	default: format();
	}
}

int main(int count, char **arguments)
{
	int busy = count > 1 ? atoi(arguments[1]) : 2, all = busy + (count > 2 ? atoi(arguments[2]) : 200);
	pid_t parent = getpid();

	for (int i = 0; i < all; i++) {
		pid_t child = fork();
		char name[32];

		if (child < 0) {
			perror("services: fork");
			return 1;
		}
		if (child > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			return 1;
		snprintf(name, sizeof name, i < busy ? "busy-%d" : "service-%d", i < busy ? i : (i - busy) % SERVICES);
		prctl(PR_SET_NAME, name);
		seed = 88172645463325252UL + (unsigned long)i * 7919;
		for (;;) {
			request(chance() % 12);
			if (i >= busy) {
				struct timespec nap = { 0, 20000000 + (long)(chance() % 200000000) };

				nanosleep(&nap, 0);
			}
		}
	}
	/* All are there. */
	if (write(STDOUT_FILENO, ".", 1) < 0)
		return 1;
	pause();
	return 0;
}
