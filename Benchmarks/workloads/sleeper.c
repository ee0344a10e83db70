/* Sleeps a millisecond so many times: each wake-up comes from the timer interrupt, in whatever task that hits. */
#include <stdlib.h>
#include <time.h>

int main(int count, char **arguments)
{
	struct timespec nap = { 0, 1000000 };

	for (long left = count > 1 ? atol(arguments[1]) : 1000; left > 0; left--)
		nanosleep(&nap, 0);
	return 0;
}
