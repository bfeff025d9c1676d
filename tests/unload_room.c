/* SPDX-License-Identifier: MIT */
/* unload_room.c - a module that takes room for thread-local variables, for unload.c, as other libraries
 * of a program do. The C library has such room, about 1,600 bytes in glibc, for all modules that are
 * opened with dlopen. */
#ifdef __linux__
#include <features.h>
#endif

__attribute__((visibility("default"))) char *room_take(void);

#ifdef __GLIBC__
static _Thread_local char room[640] __attribute__((tls_model("initial-exec")));
#else
static _Thread_local char room[640];
#endif

char *room_take(void)
{
    return room;
}
