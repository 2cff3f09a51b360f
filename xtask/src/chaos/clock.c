/* Moves the wall clock of the program it is loaded into, by CHAOS_CLOCK_OFFSET seconds. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        const char *offset = getenv("CHAOS_CLOCK_OFFSET");
        if (offset) now->tv_sec += atoll(offset);
    }
    return result;
}
