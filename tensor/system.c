/* SPDX-License-Identifier: MIT */
/* system.c - what the library asks of the system beyond POSIX. */
#include "tensor/internal.h"

#include "tensor/system.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 256 /* processors */

int cti_processors_granted(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[64] = "", *end;
    long long granted, period;

    if (!f)
        return MOST;
    if (!fgets(line, sizeof line, f))
        line[0] = '\0';
    fclose(f);
    granted = strtoll(line, &end, 10); /* 0 for "max" */
    period = strtoll(end, NULL, 10);
    if (granted > 0 && period > 0 && granted / period < MOST)
        return (int)(granted / period + (granted % period != 0));
    return MOST;
}

static bool system_has_process(long long process)
{
    return kill((pid_t)process, 0) == 0 || errno != ESRCH;
}

#if defined(__linux__) && !defined(CTI_PLAIN_SYSTEM)

#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>

int cti_processors(void)
{
    int n = 1, granted = cti_processors_granted("/sys/fs/cgroup/cpu.max");
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
    return n < granted ? n : granted;
}

void *cti_open_on_one_processor(const char *file)
{
    cpu_set_t before, one;
    void *library;
    bool narrowed = sched_getaffinity(0, sizeof before, &before) == 0;
    int cpu = 0;

    CPU_ZERO(&one);
    while (narrowed && cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &before))
        cpu++;
    CPU_SET(cpu, &one);
    narrowed = narrowed && sched_setaffinity(0, sizeof one, &one) == 0;
    library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (narrowed)
        sched_setaffinity(0, sizeof before, &before);
    return library;
}

void cti_want_huge_pages(void *block, size_t bytes)
{
    (void)madvise(block, bytes, MADV_HUGEPAGE);
}

static bool system_may_map(size_t bytes, int protection)
{
    void *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return false;
    munmap(p, bytes);
    return true;
}

bool cti_may_map(size_t bytes)
{
    return system_may_map(bytes, PROT_READ | PROT_WRITE);
}

bool cti_may_map_code(size_t bytes)
{
    return system_may_map(bytes, PROT_READ | PROT_WRITE | PROT_EXEC);
}

const char *cti_trusted_environment(const char *name)
{
    return secure_getenv(name);
}

/* The loader gives argv[0] as the path of the main program, and the caller of the program chooses argv[0].
 * For example, sudo runs a program with the rights of root and the argv[0] of the user. So no folder can be
 * trusted if the library is linked into the program. The program headers show which object is the main
 * program. A relative path depends on the current folder. */
bool cti_library_folder(char *folder, size_t size)
{
    const void *headers = (const void *)getauxval(AT_PHDR);
    Dl_info own, program;
    int length;

    if (getauxval(AT_SECURE) || !headers || !dladdr((const void *)&cti_library_folder, &own) ||
        !dladdr(headers, &program) || own.dli_fbase == program.dli_fbase)
        return false;
    if (!own.dli_fname || own.dli_fname[0] != '/')
        return false;
    length = (int)(strrchr(own.dli_fname, '/') - own.dli_fname);
    return (size_t)snprintf(folder, size, "%.*s", length, own.dli_fname) < size;
}

/* Reads the first line of a file of /proc, "" if there is none. */
static void system_read_line(const char *path, char *line, int room)
{
    FILE *f = fopen(path, "r");

    if (!f || !fgets(line, room, f))
        line[0] = '\0';
    if (f)
        fclose(f);
    line[strcspn(line, "\n")] = '\0';
}

void cti_boot_name(char text[40])
{
    system_read_line("/proc/sys/kernel/random/boot_id", text, 40);
}

bool cti_process_has_ended(long long process)
{
    char path[60], line[512];
    const char *end;

    if (!system_has_process(process))
        return true;
    snprintf(path, sizeof path, "/proc/%lld/stat", process);
    system_read_line(path, line, sizeof line);
    end = strrchr(line, ')'); /* "123 (name) Z ...": a zombie has ended */
    return end && end[1] == ' ' && (end[2] == 'Z' || end[2] == 'X');
}

#else

int cti_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n < MOST ? (int)n : MOST;
}

void *cti_open_on_one_processor(const char *file)
{
    return dlopen(file, RTLD_NOW | RTLD_LOCAL);
}

void cti_want_huge_pages(void *block, size_t bytes)
{
    (void)block;
    (void)bytes;
}

bool cti_may_map(size_t bytes)
{
    void *volatile p = malloc(bytes); /* volatile: the compiler must not leave it out */

    free(p);
    return p != NULL;
}

bool cti_may_map_code(size_t bytes)
{
    (void)bytes;
    return false;
}

const char *cti_trusted_environment(const char *name)
{
    return getuid() == geteuid() && getgid() == getegid() ? getenv(name) : NULL;
}

bool cti_library_folder(char *folder, size_t size)
{
    (void)folder;
    (void)size;
    return false;
}

void cti_boot_name(char text[40])
{
    text[0] = '\0';
}

bool cti_process_has_ended(long long process)
{
    return !system_has_process(process);
}

#endif
