/* SPDX-License-Identifier: MIT */
/* signals.c - stopping a run from another thread or a signal handler. */
#include "tensor/internal.h"

#include "train/internal.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static atomic_bool asked;
static atomic_int caught;

void ct_trainer_stop(void)
{
    atomic_store(&asked, true);
}

bool cti_stop_asked(void)
{
    return atomic_load_explicit(&asked, memory_order_relaxed) && atomic_exchange(&asked, false);
}

bool cti_stop_pending(void)
{
    return atomic_load_explicit(&asked, memory_order_relaxed);
}

int ct_trainer_signal(void)
{
    return atomic_load(&caught);
}

static const int signals[2] = { SIGINT, SIGTERM };

/* The first signal requests a stop; the next one ends the program. */
static void on_signal(int number)
{
    atomic_store(&caught, number);
    ct_trainer_stop();
    for (int i = 0; i < 2; i++)
        signal(signals[i], SIG_DFL);
}

void ct_trainer_stop_on_signals(void)
{
    struct sigaction action, old;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART; /* an interrupted write is restarted */
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    for (int i = 0; i < 2; i++)
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
}
