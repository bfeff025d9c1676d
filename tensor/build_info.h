/* build_info.h - what this build of the library is, and what it found on this machine. */
#ifndef COTANGENT_TENSOR_BUILD_INFO_H
#define COTANGENT_TENSOR_BUILD_INFO_H

#include <stdio.h>

#include <cotangent/tensor/status.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *ct_version(void); /* "0.1.0" */

/* What multiplies matrices, large and small, and what else depends on the build and the machine;
 * one line each, without a newline. */
typedef struct ct_build_info {
    const char *blas;       /* "OpenBLAS 0.3.21 ... Haswell", or that there is none */
    const char *libxsmm;    /* its version, or why it is off: not built in, not on this code path,
                             * or code may not be generated at run time here */
    const char *code_path;  /* of the CPU's kernels, in use: "avx2" */
    const char *code_paths; /* all that were built: "base avx2 avx512" */
    const char *unicode;    /* libutf8proc's version, or that there is none */
    const char *bf16;       /* what multiplies in bf16: "AVX512-BF16", or that it is emulated */
} ct_build_info;
ct_build_info ct_build_get_info(void);

/* The same, the version and the devices, for readers. CT_ERR_ARGUMENT if out is NULL. */
void ct_build_print(FILE *out);

#ifdef __cplusplus
}
#endif
#endif
