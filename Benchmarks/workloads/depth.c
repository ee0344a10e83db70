/* Works below so many calls: depth CALLS [ROUNDS]. Says so once it works; without ROUNDS it works until it is killed. */
#include <stdlib.h>
#include <unistd.h>

static volatile long sink;

__attribute__((noinline)) static void work(void)
{
	for (int i = 0; i < 200000; i++)
		sink += i;
}

__attribute__((noinline, optimize("no-optimize-sibling-calls"))) static int down(int calls)
{
	if (calls <= 0) {
		work();
		return 1;
	}
	return down(calls - 1) + 1;
}

int main(int count, char **values)
{
	int calls = atoi(values[1]);

	if (write(1, "r", 1) != 1)
		return 1;
	for (long left = count > 2 ? atol(values[2]) : -1; left; left--)
		sink += down(calls);
	return 0;
}
