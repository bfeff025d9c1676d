/* SPDX-License-Identifier: MIT */
/* fiber.cc - stacks for waiting threads, and switches between them and the scheduler.
 *
 * On x86-64 a switch saves the registers that a called function must preserve; on other processors
 * it calls swapcontext. Each switch is announced to ASan, each stack to valgrind. */
#include "cuda/emu/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(begin, end) 0
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emu
{

namespace
{

#ifdef __SANITIZE_ADDRESS__
const size_t STACK = 256 << 10;
#else
const size_t STACK = 64 << 10;
#endif
const size_t GUARD = 4096;

std::vector<fiber *> &idle = *new std::vector<fiber *>;
thread_local fiber *running; /* thread-local, because other threads may run host code at the same
                              * time */

void *scheduler_sp;
#ifdef __SANITIZE_ADDRESS__
void *scheduler_fake;
const void *scheduler_stack;
size_t scheduler_stack_bytes;
#endif

#if defined(__x86_64__)

extern "C" void emu_switch_stack(void **from, void *to) __attribute__((visibility("hidden")));
__asm__(".text\n"
        ".hidden emu_switch_stack\n"
        ".globl emu_switch_stack\n"
        ".type emu_switch_stack, @function\n"
        "emu_switch_stack:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size emu_switch_stack, . - emu_switch_stack\n");

#else

ucontext_t scheduler_context;

#endif

__attribute__((noreturn)) void first()
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_stack_bytes);
#endif
    running->entry(running->argument);
    abort(); /* not reached: the last suspend of a fiber is never resumed */
}

/* A fiber's first switch pops six registers and returns into first(). */
void prepare(fiber *f)
{
#ifdef __SANITIZE_ADDRESS__
    /* frames that never returned are still poisoned */
    __asan_unpoison_memory_region(f->stack, f->bytes);
#endif
#if defined(__x86_64__)
    void **top = reinterpret_cast<void **>(f->stack + f->bytes);

    *--top = NULL; /* aligns the stack as after a call */
    *--top = reinterpret_cast<void *>(first);
    for (int i = 0; i < 6; i++)
        *--top = NULL;
    f->sp = top;
#else
    ucontext_t *c = static_cast<ucontext_t *>(f->sp);

    if (!c)
        f->sp = c = new ucontext_t;
    getcontext(c);
    c->uc_stack.ss_sp = f->stack;
    c->uc_stack.ss_size = f->bytes;
    c->uc_link = NULL;
    makecontext(c, first, 0);
#endif
}

} // namespace

fiber *take_fiber(void (*entry)(void *), void *argument)
{
    fiber *f;

    if (idle.empty()) {
        void *p = mmap(NULL, STACK + GUARD, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED || mprotect(p, GUARD, PROT_NONE)) {
            perror("cuda-emu: no stack for a thread");
            abort();
        }
        f = new fiber();
        f->stack = static_cast<char *>(p) + GUARD;
        f->bytes = STACK;
        (void)VALGRIND_STACK_REGISTER(f->stack, f->stack + f->bytes);
    } else {
        f = idle.back();
        idle.pop_back();
    }
    f->entry = entry;
    f->argument = argument;
    f->more = NULL;
    prepare(f);
    return f;
}

void give_fiber(fiber *f)
{
    idle.push_back(f);
}

fiber *running_fiber()
{
    return running;
}

void resume(fiber *f)
{
    running = f;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&scheduler_fake, f->stack, f->bytes);
#endif
#if defined(__x86_64__)
    emu_switch_stack(&scheduler_sp, f->sp);
#else
    swapcontext(&scheduler_context, static_cast<ucontext_t *>(f->sp));
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(scheduler_fake, NULL, NULL);
#endif
    running = NULL;
}

void suspend()
{
    fiber *f = running;

#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&f->more, scheduler_stack, scheduler_stack_bytes);
#endif
#if defined(__x86_64__)
    emu_switch_stack(&f->sp, scheduler_sp);
#else
    swapcontext(static_cast<ucontext_t *>(f->sp), &scheduler_context);
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(f->more, &scheduler_stack, &scheduler_stack_bytes);
#endif
}

} // namespace emu
