dnl SPDX-License-Identifier: MIT
dnl CT_CPU_PATHS: which versions of tensor/cpu/kernels.c are built beside the baseline one, and
dnl whether tensor/cpu/gemm_bf16_avx512.c is. The library chooses among them when it runs, by what the processor has.
AC_DEFUN([CT_CPU_PATHS],
[AC_ARG_ENABLE([cpu-paths],
    [AS_HELP_STRING([--disable-cpu-paths], [kernels for the processor of CFLAGS alone, not also for AVX2 and AVX-512])],
    [], [enable_cpu_paths=yes])
CT_AVX2_CFLAGS='-mavx2 -mfma'
CT_AVX512_CFLAGS='-mavx512f -mavx512dq -mavx512bw -mavx512vl -mavx2 -mfma -mprefer-vector-width=512'
CT_BF16_CFLAGS='-mavx512bf16'
ct_cpu_paths=base
ct_avx2=no
ct_avx512=no
ct_bf16=no
AS_CASE([$host_cpu:$enable_cpu_paths], [x86_64:yes],
    [AC_MSG_CHECKING([whether $CC takes $CT_AVX2_CFLAGS])
     CT_TRY_FLAGS([$CT_AVX2_CFLAGS], [AC_LANG_PROGRAM([[#include <immintrin.h>]],
         [[volatile __m256 a = _mm256_set1_ps(1), b = _mm256_fmadd_ps(a, a, a); (void)b;]])],
         [ct_avx2=yes; ct_cpu_paths="$ct_cpu_paths avx2"])
     AC_MSG_RESULT([$ct_avx2])
     AC_MSG_CHECKING([whether $CC takes $CT_AVX512_CFLAGS])
     CT_TRY_FLAGS([$CT_AVX512_CFLAGS], [AC_LANG_PROGRAM([[#include <immintrin.h>]],
         [[volatile __m512 a = _mm512_set1_ps(1), b = _mm512_fmadd_ps(a, a, a); (void)b;]])],
         [ct_avx512=yes; ct_cpu_paths="$ct_cpu_paths avx512"])
     AC_MSG_RESULT([$ct_avx512])
     AC_MSG_CHECKING([whether $CC takes $CT_BF16_CFLAGS])
     CT_TRY_FLAGS([$CT_AVX512_CFLAGS $CT_BF16_CFLAGS], [AC_LANG_PROGRAM([[#include <immintrin.h>]],
         [[volatile __m512 a = _mm512_set1_ps(1);
           volatile __m512 b = _mm512_dpbf16_ps(a, (__m512bh)_mm512_set1_epi32(1),
                                                (__m512bh)_mm512_set1_epi32(1)); (void)b;]])],
         [ct_bf16=$ct_avx512])
     AC_MSG_RESULT([$ct_bf16])])
AS_IF([test $ct_avx2 = yes],
    [AC_DEFINE([CT_HAVE_AVX2_PATH], [1], [The CPU kernels are also built for AVX2 and FMA.])])
AS_IF([test $ct_avx512 = yes],
    [AC_DEFINE([CT_HAVE_AVX512_PATH], [1], [The CPU kernels are also built for AVX-512 (F, DQ, BW, VL).])])
AS_IF([test $ct_bf16 = yes],
    [AC_DEFINE([CT_HAVE_BF16_PATH], [1], [Products in bf16 are also built for AVX512-BF16.])])
AM_CONDITIONAL([AVX2_PATH], [test $ct_avx2 = yes])
AM_CONDITIONAL([AVX512_PATH], [test $ct_avx512 = yes])
AM_CONDITIONAL([BF16_PATH], [test $ct_bf16 = yes])
CT_CHECK_CFLAGS([CT_KERNEL_CFLAGS], [-fno-math-errno -fno-trapping-math -fwrapv])
dnl clang warns of each loop that it could not vectorise for the baseline processor.
CT_TRY_FLAGS([-Wpass-failed], [AC_LANG_PROGRAM], [CT_KERNEL_CFLAGS="$CT_KERNEL_CFLAGS -Wno-pass-failed"])
AC_SUBST([CT_AVX2_CFLAGS])
AC_SUBST([CT_AVX512_CFLAGS])
AC_SUBST([CT_BF16_CFLAGS])
AC_SUBST([CT_KERNEL_CFLAGS])
])
