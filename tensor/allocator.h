/* allocator.h - where the library's memory comes from, and where its lines go.
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

/* Both functions may run on any thread, and on several at once; neither may call the library. */
typedef struct ct_allocator {
    /* bytes bytes, 1 or more, aligned to alignment, a power of two; NULL when there are none. What is
     * not aligned is released and counts as NULL. */
    void *(*allocate)(size_t alignment, size_t bytes, void *context);
    /* Ends what allocate returned; p is not NULL. */
    void (*release)(void *p, void *context);
    void *context;
} ct_allocator;

/* Has the library take from a all host memory that it asks for itself: tensors on the CPU, handles,
 * history, parameter sets, modules, buffers of files. Not from a: the message of the recorded error,
 * memory of a GPU, and what other libraries (BLAS) and the C library ask for. Where a header says that
 * the caller frees a result with free(), the result comes from a and must be given to a.release.
 *
 * Call it before the library has asked for memory, which the first scope, set or file does; afterwards
 * it raises CT_ERR_ARGUMENT. It raises CT_ERR_ARGUMENT, too, if one of the two functions is NULL. When
 * allocate returns NULL, the call that needed the memory fails with CT_ERR_MEMORY. release runs until
 * the library has ended, which is after main has returned: context must live as long. */
ct_status ct_set_allocator(ct_allocator a);

/* Called for each line, without its end, that the library says by itself: about an environment
 * variable that is ignored, about a GPU that is missing (ct_try_gpu), and for COTANGENT_DEBUG and
 * COTANGENT_PROFILE. Errors go to the handler of ct_error_set_handler instead, and progress to the
 * file of the trainer. The default prints to stderr; NULL is silence. The handler runs on the thread
 * that has something to say, also at the end of the process, and must not run ops. Set it before
 * threads start. What the library finds
 * in the environment when it is loaded is printed before any handler can be set. */
typedef void (*ct_log_handler)(const char *line, void *context);
void ct_log_set_handler(ct_log_handler handler, void *context);

/* The default handler: prints line to stderr. context is not used and may be NULL; so may line, for
 * which an empty line is printed. */
void ct_log_print(const char *line, void *context);

#ifdef __cplusplus
}
#endif
#endif
