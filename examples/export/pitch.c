/* SPDX-License-Identifier: MIT */
/* pitch.c - times the audio model that examples/pitch has exported. The program does not use the library.
 *
 *     examples/pitch 1000 pitch_model.c
 *     cc -O3 -o listen pitch.c pitch_model.c -lm
 *
 * Reads ten seconds of a sine of 440 Hz in blocks of 64 samples at 48 kHz, and prints the pitch that the
 * model hears, the mean time of a block and the worst. A block must take less than 1,333 microseconds. */
#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "pitch_model.h"

enum { RATE = 48000, BLOCK = 64, SECONDS = 10 };

static double microseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(void)
{
    const int blocks = SECONDS * RATE / BLOCK;
    double worst = 0, sum = 0;
    float x[BLOCK], y = 0;
    pitch_state state;

    pitch_reset(&state);
    for (int i = 0; i < blocks; i++) {
        double began, took;

        for (int k = 0; k < BLOCK; k++)
            x[k] = (float)(0.5 * sin(2 * 3.14159265358979 * 440 * (i * BLOCK + k) / RATE));
        began = microseconds();
        if (pitch_step(&state, x, &y) != 0)
            return 1;
        took = microseconds() - began;
        sum += took;
        worst = took > worst ? took : worst;
    }
    printf("%d blocks: pitch %.2f; %.2f us a block, the worst %.1f us\n", blocks, (double)y,
           sum / blocks, worst);
    return 0;
}
