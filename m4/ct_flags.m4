dnl SPDX-License-Identifier: MIT
dnl Options and compiler flags.

dnl CT_ARG_ENABLE(name, what it does): --enable-name, default no, sets $enable_name to yes or no; a "-" of
dnl the name is a "_" there.
AC_DEFUN([CT_ARG_ENABLE],
[AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])], [], [AS_TR_SH([enable_$1])=no])
AS_IF([test "x$AS_TR_SH([enable_$1])" != xno], [AS_TR_SH([enable_$1])=yes])])

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

dnl CT_CROSS: for another processor its compiler must be there: autoconf would take the one for this
dnl processor. Before AC_PROG_CC.
AC_DEFUN([CT_CROSS],
[AS_IF([test "x$host" != "x$build" && test -z "$CC"],
    [AC_CHECK_TOOLS([CC], [gcc clang cc])
     AS_CASE([$CC], ["$host_alias"-*], [],
        [AC_MSG_ERROR([--host=$host_alias was given, but there is no $host_alias-gcc (Debian: apt-get install gcc-$host_alias); or name a compiler for it in CC])])])])

dnl CT_COMPILER: C11 and the vectors of the kernels, for the processor of --host. After AC_PROG_CC. Sets
dnl $ct_compiler_version.
AC_DEFUN([CT_COMPILER],
[AC_MSG_CHECKING([whether $CC has C11 and vectors])
ct_save_CFLAGS=$CFLAGS
for ct_flag in '' -std=gnu11; do
    CFLAGS="$ct_save_CFLAGS $ct_flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <stdatomic.h>
#include <stddef.h>
#if !defined __STDC_VERSION__ || __STDC_VERSION__ < 201112L
#error not C11
#endif
typedef float vector __attribute__((vector_size(16)));
typedef int mask __attribute__((vector_size(16)));
_Static_assert(sizeof(vector) == 16, "vectors");
static _Thread_local struct { union { int a; float b; }; } one;
static _Atomic int two;]],
        [[vector v = { 1, 2, 3, 4 };
mask m = __builtin_convertvector(v, mask);
int product, failed = __builtin_mul_overflow(m[0], m[1], &product);
#ifdef __clang__
v = __builtin_shufflevector(v, v, 3, 2, 1, 0);
#else
v = __builtin_shuffle(v, m & 3);
#endif
one.a = atomic_fetch_add(&two, (int)v[0]);
return failed + product + one.a;]])], [ct_try=yes], [ct_try=no])
    AS_IF([test $ct_try = yes], [break])
done
CFLAGS=$ct_save_CFLAGS
AC_MSG_RESULT([$ct_try])
ct_compiler_version=`$CC --version 2>/dev/null | sed 1q`
AS_IF([test $ct_try = no],
    [AC_MSG_ERROR([$CC ($ct_compiler_version) is too old: the library needs C11 with <stdatomic.h>, and __builtin_convertvector of gcc 9 or of clang; see config.log (Debian: apt-get install gcc)])])
AS_CASE([$host_cpu],
    [x86_64], [ct_macro='defined __x86_64__'],
    [i?86], [ct_macro='defined __i386__'],
    [aarch64], [ct_macro='defined __aarch64__'],
    [arm*], [ct_macro='defined __arm__'],
    [s390x], [ct_macro='defined __s390x__'],
    [ct_macro=1])
AC_MSG_CHECKING([whether $CC makes code for $host_cpu])
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#if !($ct_macro)
#error another processor
#endif]])], [ct_try=yes], [ct_try=no])
AC_MSG_RESULT([$ct_try])
AS_IF([test $ct_try = no],
    [AC_MSG_ERROR([$CC $CFLAGS makes code for another processor than $host_cpu: name the processor with --host, as in --host=i686-linux-gnu])])])

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

dnl ---- equal files from equal sources -----------------------------------------------------

dnl CT_ARCHIVES: static libraries without times and owners (Debian's ar leaves them out by itself), and
dnl a tarball with sorted names, one time, no owner and no umask, where tar is GNU's. Before LT_INIT.
AC_DEFUN([CT_ARCHIVES],
[AC_PROG_RANLIB
AC_MSG_CHECKING([whether $AR and $RANLIB leave out times])
echo 'int ct_archived;' >conftest.c
ct_try=no
AS_IF([$CC -c conftest.c >&AS_MESSAGE_LOG_FD 2>&1 &&
       $AR crD conftest.a conftest.$ac_objext >&AS_MESSAGE_LOG_FD 2>&1 &&
       $RANLIB -D conftest.a >&AS_MESSAGE_LOG_FD 2>&1],
    [ct_try=yes
     test -n "${ARFLAGS+set}${AR_FLAGS+set}" || ARFLAGS=crD
     ac_cv_prog_ac_ct_RANLIB="$RANLIB -D" ac_cv_prog_RANLIB="$RANLIB -D"])
rm -f conftest.*
AC_MSG_RESULT([$ct_try])
AS_IF([${TAR-tar} --sort=name --version >/dev/null 2>&1],
    [am__tar='$${TAR-tar} --format=ustar --sort=name --mtime="@S|@(tarball_time)" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -chf - "$$tardir"'])])

dnl CT_MAP_PATHS: debug information, and what assert prints, without the path of the build. The folder
dnl of the build is ".", as is that of the sources. Left out where make would break the path at a space.
AC_DEFUN([CT_MAP_PATHS],
[CT_PREFIX_MAP=
ct_build_folder=`pwd`
ct_source_folder=`cd "$srcdir" && pwd`
AS_CASE(["$ct_source_folder$ct_build_folder"], [*[[!A-Za-z0-9_/.+,~@%:-]]*], [],
    [CT_CHECK_CFLAGS([CT_PREFIX_MAP],
        ["-ffile-prefix-map=$ct_source_folder=. -ffile-prefix-map=$ct_build_folder=."])])
AC_SUBST([CT_PREFIX_MAP])])

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
        [CT_CHECK_CFLAGS([CT_CFLAGS], [-ffunction-sections -fdata-sections])])])
AC_SUBST([CT_STATIC_LDFLAGS])])
