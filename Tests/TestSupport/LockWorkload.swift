/// A program whose second thread waits for locks that the first holds, each in one wait of a known length at least.
///
/// Arguments: how often it waits for a mutex, a read-write lock, a mutex with priority inheritance and a condition variable, and for how
/// many microseconds each is held. It prints how long the waits for the locks were together, in nanoseconds, as the thread saw it.
package func compileLocks(in folder: TemporaryFolder, name: String) throws -> String {
  try compile(
    """
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <pthread.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    \(waitsInSystemCall)
    enum kind { MUTEX, RWLOCK, INHERITING, CONDITION, KINDS };
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, inheriting, other = PTHREAD_MUTEX_INITIALIZER;
    static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
    static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    static volatile int tid, asked, done, isSet;
    static volatile enum kind kind;
    static long long waited;
    volatile int sink;
    __attribute__((noinline)) void take_mutex(void) { pthread_mutex_lock(&mutex); sink++; }
    __attribute__((noinline)) void take_rwlock(void) { pthread_rwlock_wrlock(&rwlock); sink++; }
    __attribute__((noinline)) void take_inheriting(void) { pthread_mutex_lock(&inheriting); sink++; }
    __attribute__((noinline)) void wait_for_work(void) {
      pthread_mutex_lock(&other);
      while (!isSet) pthread_cond_wait(&condition, &other);
      pthread_mutex_unlock(&other);
      sink++;
    }
    static long long now(void) {
      struct timespec time;
      clock_gettime(CLOCK_MONOTONIC, &time);
      return time.tv_sec * 1000000000LL + time.tv_nsec;
    }
    static void *waiter(void *argument) {
      tid = syscall(SYS_gettid);
      for (;;) {
        while (asked == done) usleep(50);
        long long before = now();
        switch (kind) {
        case MUTEX: take_mutex(); break;
        case RWLOCK: take_rwlock(); break;
        case INHERITING: take_inheriting(); break;
        default: wait_for_work();
        }
        if (kind != CONDITION) waited += now() - before;
        if (kind == MUTEX) pthread_mutex_unlock(&mutex);
        if (kind == RWLOCK) pthread_rwlock_unlock(&rwlock);
        if (kind == INHERITING) pthread_mutex_unlock(&inheriting);
        done = done + 1;
      }
    }
    int main(int count, char **arguments) {
      int hold = count > 5 ? atoi(arguments[5]) : 0, isLast = 0;
      pthread_mutexattr_t attributes;
      pthread_t thread;
      pthread_mutexattr_init(&attributes);
      pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
      pthread_mutex_init(&inheriting, &attributes);
      pthread_create(&thread, 0, waiter, 0);
      while (!tid) usleep(50);
      for (int i = 0; !isLast; i++) {
        isLast = 1;
        for (int each = 0; each < KINDS; each++) {
          struct timespec time = { hold / 1000000, hold % 1000000 * 1000 };
          if (i >= atoi(arguments[1 + each])) continue;
          isLast = 0;
          kind = each;
          isSet = 0;
          if (kind == MUTEX) pthread_mutex_lock(&mutex);
          if (kind == RWLOCK) pthread_rwlock_wrlock(&rwlock);
          if (kind == INHERITING) pthread_mutex_lock(&inheriting);
          asked = asked + 1;
          while (!is_in(SYS_futex, tid)) usleep(50);
          nanosleep(&time, 0);
          if (kind == MUTEX) pthread_mutex_unlock(&mutex);
          if (kind == RWLOCK) pthread_rwlock_unlock(&rwlock);
          if (kind == INHERITING) pthread_mutex_unlock(&inheriting);
          if (kind == CONDITION) {
            pthread_mutex_lock(&other);
            isSet = 1;
            // Before the signal: who is woken would wait for it.
            pthread_mutex_unlock(&other);
            pthread_cond_signal(&condition);
          }
          while (asked != done) usleep(50);
        }
      }
      printf("%lld\\n", waited);
      return 0;
    }
    """, in: folder, name: name, compiler: "clang", flags: ["-O1", "-fno-optimize-sibling-calls", "-pthread"])
}
