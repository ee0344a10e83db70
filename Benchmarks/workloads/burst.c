/* Keeps a processor busy in one function for 20 ms of its own time, and ends. */
#include <time.h>

static volatile long sink;

__attribute__((noinline)) static void burst(void)
{
	struct timespec now;

	do {
		for (int i = 0; i < 10000; i++)
			sink++;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while (now.tv_sec == 0 && now.tv_nsec < 20000000);
}

int main(void)
{
	burst();
	return 0;
}
