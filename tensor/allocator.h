/* SPDX-License-Identifier: MIT */
/* allocator.h - replaces the library's memory allocator and the function that prints its log lines.
 *
 *     static void *arena_allocate(size_t alignment, size_t bytes, void *context) ...
 *     static void arena_release(void *p, void *context) ...
 *
 *     int main(void)
 *     {
 *         if (ct_set_allocator((ct_allocator){ arena_allocate, arena_release, &arena }) != CT_OK)
 *             return 1;
 *         ct_log_set_handler(send_to_syslog, NULL);
 *         ... */
#ifndef COTANGENT_TENSOR_ALLOCATOR_H
#define COTANGENT_TENSOR_ALLOCATOR_H

#include <stddef.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Both functions may be called on any thread, and on several at once. They must not call the
 * library. */
typedef struct ct_allocator {
    /* Returns `bytes` bytes, 1 or more, aligned to alignment, a power of two; NULL if memory runs
     * out. A result that is not aligned is released and counts as NULL. */
    void *(*allocate)(size_t alignment, size_t bytes, void *context);
    /* Frees memory that allocate returned; p is not NULL. */
    void (*release)(void *p, void *context);
    void *context;
} ct_allocator;

/* Sets the allocator of all host memory that the library itself allocates: tensors on the CPU,
 * handles, history, parameter sets, modules, buffers of files. It is not used for the message of
 * the recorded error, for GPU memory, or for allocations by other libraries (BLAS) and by the C
 * library. Where a header says that the caller frees a result with free(), the result must then be
 * given to a.release instead.
 *
 * Call it before the first scope, set or file, because these allocate memory; afterwards it raises
 * CT_ERR_ARGUMENT. It also raises CT_ERR_ARGUMENT if one of the two functions is NULL. If allocate
 * returns NULL, the call that needed the memory fails with CT_ERR_MEMORY. The library calls release
 * also after main has returned, so context must never be freed. */
ct_status ct_set_allocator(ct_allocator a);

/* Called for each line, without its newline, that the library prints on its own: about an
 * environment variable that is ignored, about a missing GPU (ct_try_gpu), and for COTANGENT_DEBUG
 * and COTANGENT_PROFILE. Errors go to the handler of ct_error_set_handler instead, and progress to
 * the trainer's file. The default prints to stderr. handler may be NULL: then nothing is printed.
 * The handler runs on the thread that reports the line, also at the end of the process, and must
 * not run ops. Set it before threads start. Lines about the environment that are printed when the
 * library is loaded come before any handler can be set. */
typedef void (*ct_log_handler)(const char *line, void *context);
void ct_log_set_handler(ct_log_handler handler, void *context);

/* The default handler: prints line to stderr. context is not used and may be NULL. A NULL line
 * prints an empty line. */
void ct_log_print(const char *line, void *context);

#ifdef __cplusplus
}
#endif
#endif
