/* SPDX-License-Identifier: MIT */
/* build_info.h - describes this build of the library and what it uses on this machine. */
#ifndef COTANGENT_TENSOR_BUILD_INFO_H
#define COTANGENT_TENSOR_BUILD_INFO_H

#include <stdio.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *ct_version(void); /* "0.1.0" */

/* What this build and this machine use. Each text is one line without a newline, and is never
 * NULL. */
typedef struct ct_build_info {
    /* the BLAS for large matrix products: "OpenBLAS 0.3.21 ... Haswell"; or that there is none */
    const char *blas;
    /* LIBXSMM, for small products: its version, or the reason why it is off: not built in, not used
     * on this code path, or code may not be generated at run time */
    const char *libxsmm;
    const char *code_path;  /* the CPU code path in use: "avx2" */
    const char *code_paths; /* all code paths that were built: "base avx2 avx512" */
    const char *unicode;    /* the version of libutf8proc, or that there is none */
    const char *bf16; /* how bf16 products are computed: "AVX512-BF16", or that they are emulated */
} ct_build_info;
ct_build_info ct_build_get_info(void);

/* Prints the texts above, the version and the devices to out. CT_ERR_ARGUMENT if out is NULL. */
void ct_build_print(FILE *out);

#ifdef __cplusplus
}
#endif
#endif
