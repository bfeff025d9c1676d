/* SPDX-License-Identifier: MIT */
/* build_info.c - describes this build and what it uses on this machine. */
#include "tensor/cpu/blas.h"
#include "tensor/cpu/cpu.h"

#include <cotangent/tensor/build_info.h>
#include <cotangent/tensor/device.h>

#ifdef CT_HAVE_UTF8PROC
#include <utf8proc.h>
#endif

const char *ct_version(void)
{
    return PACKAGE_VERSION;
}

static const char *unicode(void)
{
#ifdef CT_HAVE_UTF8PROC
    return utf8proc_version();
#else
    return "none: no graphemes, no case folding beyond ASCII";
#endif
}

ct_build_info ct_build_get_info(void)
{
    static const char paths[] = "base"
#ifdef CT_HAVE_AVX2_PATH
                                " avx2"
#endif
#ifdef CT_HAVE_AVX512_PATH
                                " avx512"
#endif
        ;

    return (ct_build_info){ .blas = cti_blas_name(),
                            .libxsmm = cti_libxsmm_name(NULL),
                            .code_path = cti_cpu_path_get()->name,
                            .code_paths = paths,
                            .unicode = unicode(),
                            .bf16 =
                                cti_bf16_path_get() ? "AVX512-BF16" : "emulated where allowed" };
}

void ct_build_print(FILE *out)
{
#define PLUGIN_NAME(file, words) file,
    static const char *const plug_ins[] = { CTI_PLUGINS(PLUGIN_NAME) };
#undef PLUGIN_NAME
    ct_build_info a = ct_build_get_info();
    size_t kind;

    if (!cti_given("ct_build_print", "out", out))
        return;
    int i;

    fprintf(out, "cotangent %s\n", ct_version());
    fprintf(out, "BLAS: %s\nLIBXSMM: %s\n", a.blas, a.libxsmm);
    fprintf(out, "code path: %s (of %s)\n", a.code_path, a.code_paths);
    fprintf(out, "products in bf16: %s\n", a.bf16);
    fprintf(out, "libutf8proc: %s\n", a.unicode);
    fprintf(out, "devices: cpu");
    for (kind = 0; kind < sizeof plug_ins / sizeof *plug_ins; kind++)
        for (i = 0; i < ct_device_count(plug_ins[kind]); i++)
            fprintf(out, i ? " %s:%d" : " %s", plug_ins[kind], i);
    fprintf(out, "\n");
}
