/* executable.c - whether code may be generated at run time. */
#include "tensor/cpu/cpu.h"

#include <pthread.h>
#include <sys/mman.h>

static bool may;

static void probe(void)
{
    const size_t size = 4096;
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    may = p != MAP_FAILED;
    if (may)
        munmap(p, size);
}

bool cti_may_generate_code(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, probe);
    return may;
}
