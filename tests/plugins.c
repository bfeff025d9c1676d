/* SPDX-License-Identifier: MIT */
/* plugins.c - contains the static library; prints how many emulated GPUs it finds. plugins.sh runs
 * it. */
#include <stdio.h>

#include <cotangent.h>

int main(void)
{
    printf("%d\n", ct_device_count("cuda-emu"));
    return 0;
}
