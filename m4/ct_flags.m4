dnl SPDX-License-Identifier: MIT
dnl Options and compiler flags.

dnl CT_ARG_ENABLE(name, what it does): --enable-name, default no, sets $enable_name to yes or no.
AC_DEFUN([CT_ARG_ENABLE],
[AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])], [], [enable_$1=no])
AS_IF([test "x$enable_$1" != xno], [enable_$1=yes])])

dnl CT_TRY_FLAGS(flags, program, then, else): whether $CC compiles program with flags, silently.
AC_DEFUN([CT_TRY_FLAGS],
[ct_save_CFLAGS=$CFLAGS
CFLAGS="$CFLAGS $1 -Werror"
AC_COMPILE_IFELSE([$2], [ct_try=yes], [ct_try=no])
CFLAGS=$ct_save_CFLAGS
AS_IF([test $ct_try = yes], [$3], [$4])])

dnl CT_CHECK_CFLAGS(VAR, flags): appends to VAR those of the flags that the compiler takes.
AC_DEFUN([CT_CHECK_CFLAGS],
[for ct_flag in $2; do
    AC_MSG_CHECKING([whether $CC takes $ct_flag])
    CT_TRY_FLAGS([$ct_flag], [AC_LANG_PROGRAM], [$1="$$1 $ct_flag"])
    AC_MSG_RESULT([$ct_try])
done])

dnl CT_CHECK_LDFLAGS(VAR, flags): appends to VAR those of the flags that a shared link takes.
AC_DEFUN([CT_CHECK_LDFLAGS],
[for ct_flag in $2; do
    AC_MSG_CHECKING([whether the linker takes $ct_flag])
    ct_save_LDFLAGS=$LDFLAGS
    LDFLAGS="$LDFLAGS $ct_flag"
    AC_LINK_IFELSE([AC_LANG_PROGRAM], [ct_try=yes; $1="$$1 $ct_flag"], [ct_try=no])
    LDFLAGS=$ct_save_LDFLAGS
    AC_MSG_RESULT([$ct_try])
done])

dnl CT_FLOATING_POINT: float and double must be computed as such, by the rules of IEEE 754. On i386 the
dnl x87 keeps more bits: -msse2 -mfpmath=sse is added to CT_CFLAGS there.
AC_DEFUN([CT_FLOATING_POINT],
[m4_define([CT_EXACT_PROGRAM], [AC_LANG_PROGRAM([[#include <float.h>]],
    [[extern int exact[FLT_EVAL_METHOD == 0 ? 1 : -1]; (void)exact;]])])
AC_MSG_CHECKING([whether float and double are computed without more bits])
ct_exact=no
AC_COMPILE_IFELSE([CT_EXACT_PROGRAM], [ct_exact=yes],
    [CT_TRY_FLAGS([-msse2 -mfpmath=sse], [CT_EXACT_PROGRAM],
        [ct_exact='with -msse2 -mfpmath=sse'
         CT_CFLAGS="$CT_CFLAGS -msse2 -mfpmath=sse"])])
AC_MSG_RESULT([$ct_exact])
AS_IF([test "$ct_exact" = no],
    [AC_MSG_ERROR([FLT_EVAL_METHOD is not 0: $CC $CFLAGS computes with more bits than float and double have, and the numbers would be wrong])])
AC_MSG_CHECKING([whether $CC keeps the rules of IEEE 754])
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error relaxed
#endif]])], [ct_ieee=yes], [ct_ieee=no])
AC_MSG_RESULT([$ct_ieee])
AS_IF([test $ct_ieee = no],
    [AC_MSG_ERROR([-ffast-math, -Ofast and -ffinite-math-only give wrong numbers: take them out of CFLAGS ($CFLAGS)])])])

dnl CT_ARG_INFERENCE_ONLY: --enable-inference-only switches off what only training needs, and refuses options
dnl that ask for it. Sets CT_INFERENCE_ONLY in config.h and in <cotangent_features.h>, and the conditional INFERENCE_ONLY.
AC_DEFUN([CT_ARG_INFERENCE_ONLY],
[CT_INFERENCE_ONLY=0
AS_IF([test $enable_inference_only = yes],
    [CT_INFERENCE_ONLY=1
     AS_IF([test "x${enable_tool-no}" != xno],
        [AC_MSG_ERROR([--enable-tool: a library for inference only (--enable-inference-only) has no tool])])
     enable_tool=no
     for ct_part in cuda curl openmpi mpich zlib; do
         eval "ct_wanted=\${with_$ct_part-check}"
         AS_CASE([$ct_wanted], [no | check], [],
            [AC_MSG_ERROR([--with-$ct_part: a library for inference only (--enable-inference-only) does not use it])])
         eval "with_$ct_part=no"
     done])
AC_DEFINE_UNQUOTED([CT_INFERENCE_ONLY], [$CT_INFERENCE_ONLY], [1 in a library for inference only, else 0.])
AM_CONDITIONAL([INFERENCE_ONLY], [test $enable_inference_only = yes])])

dnl CT_SECTIONS: in a library for inference only each function has a section of its own, so that a linker
dnl leaves out those that nothing calls. CT_STATIC_LDFLAGS is what a program needs for that.
AC_DEFUN([CT_SECTIONS],
[CT_STATIC_LDFLAGS=
AS_IF([test $enable_inference_only = yes],
    [CT_CHECK_LDFLAGS([CT_STATIC_LDFLAGS], [-Wl,--gc-sections])
     AS_IF([test -n "$CT_STATIC_LDFLAGS"],
        [CT_CHECK_CFLAGS([CT_CFLAGS], [-ffunction-sections -fdata-sections])
         CT_SHARED_LDFLAGS="$CT_SHARED_LDFLAGS $CT_STATIC_LDFLAGS"])])
AC_SUBST([CT_STATIC_LDFLAGS])])
