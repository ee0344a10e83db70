import TestSupport

/// A 64-bit program that calls the kernel by the interface of 32-bit programs, `int $0x80`, which takes addresses below 4 GiB only.
enum Compat {
  /// Opens the file `low` of the folder: 53 open, 31 creat, 101 openat and 43 openat2 by that interface, and 7 open by the other; fails 17
  /// execve and 19 execveat of `missing`. In between are calls with the numbers that opens and execs have in the other interface.
  static func source(in folder: String) -> String {
    """
    #define _GNU_SOURCE
    #include <fcntl.h>
    #include <signal.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/stat.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    static struct low {
      char path[256], missing[256], argument[16];
      struct { uint64_t flags, mode, resolve; } how;
      uint32_t vector[3], none[1];
    } *low;
    static void native(void) {
      struct stat status;
      for (int i = 0; i < 7; i++) close(syscall(SYS_open, low->path, O_DIRECTORY, 0));
      for (int i = 0; i < 3; i++) {
        syscall(SYS_fstat, (long)low->path, &status);           /* open there */
        syscall(SYS_lseek, (long)low->path, 0, 0);              /* creat */
        syscall(SYS_munmap, low->missing, 0);                   /* execve */
        syscall(SYS_preadv, -100, low->path, 0, 0);             /* openat */
        syscall(358, -100, low->missing, low->vector);          /* execveat */
      }
    }
    static void fault(int number) { native(); _exit(77); }
    static int call(int number, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) {
      int result;
      asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
      return result;
    }
    #define LOW(member) ((uint32_t)(uintptr_t)&low->member)
    int main(void) {
      low = mmap(0, sizeof(*low), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
      if (low == MAP_FAILED) return 1;
      strcpy(low->path, "\(folder)/low");
      strcpy(low->missing, "\(folder)/missing");
      strcpy(low->argument, "one two");
      low->how.flags = O_RDONLY | O_CLOEXEC;
      low->vector[0] = low->vector[1] = LOW(argument);
      signal(SIGSEGV, fault);
      call(20, 0, 0, 0, 0, 0);                                  /* getpid */
      for (int i = 0; i < 53; i++) close(call(5, LOW(path), O_CREAT | O_WRONLY, 0640, 0, 0));
      for (int i = 0; i < 31; i++) close(call(8, LOW(path), 0600, 0, 0, 0));
      for (int i = 0; i < 101; i++) close(call(295, AT_FDCWD, LOW(path), O_RDWR, 0, 0));
      for (int i = 0; i < 43; i++) close(call(437, AT_FDCWD, LOW(path), LOW(how), sizeof(low->how), 0));
      for (int i = 0; i < 17; i++) call(11, LOW(missing), LOW(vector), LOW(none), 0, 0);
      for (int i = 0; i < 19; i++) call(358, AT_FDCWD, LOW(missing), LOW(vector), LOW(none), 0);
      for (int i = 0; i < 3; i++) {
        call(85, LOW(path), LOW(missing), 0, 0, 0);             /* readlink; creat there */
        call(257, LOW(path), 0, 0, 0, 0);                       /* remap_file_pages; openat */
        call(322, AT_FDCWD, LOW(missing), LOW(vector), 0, 0);   /* timerfd_create; execveat */
      }
      native();
      return 78;
    }
    """
  }

  /// Whether the kernel has that interface, as the program's exit status says.
  static func isSupported(_ finished: Finished) throws -> Bool {
    guard finished.status == 77 || finished.status == 78 else { throw RunError("exit status \(finished.status): \(finished.errorText)") }
    return finished.status == 78
  }
}
