dnl SPDX-License-Identifier: MIT
dnl Libraries that we use.

dnl CT_IF_LINKS(VAR, header, function, more libraries, then, else): whether a program with the header
dnl and the function links with $VAR_CFLAGS and $VAR_LIBS. pkg-config may know a library of which files
dnl are missing, or that of another processor.
AC_DEFUN([CT_IF_LINKS],
[AC_MSG_CHECKING([whether a program with <$2> links])
ct_save_LIBS=$LIBS ct_save_CPPFLAGS=$CPPFLAGS
LIBS="$$1_LIBS $4 $LIBS $LIBM" CPPFLAGS="$CPPFLAGS $$1_CFLAGS"
AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <stddef.h>
#include <stdio.h>
#include <$2>]], [[void *volatile f = (void *)(size_t)&$3; return f == NULL;]])], [ct_links=yes], [ct_links=no])
LIBS=$ct_save_LIBS CPPFLAGS=$ct_save_CPPFLAGS
AC_MSG_RESULT([$ct_links])
AS_IF([test $ct_links = yes], [$5], [$6])])

dnl CT_BROKEN(header, module and version, Debian package): the words for that.
m4_define([CT_BROKEN],
[pkg-config finds $2, but a program with <$1> does not link: see config.log (Debian: apt-get install --reinstall $3; for another processor, PKG_CONFIG_LIBDIR must name its folder)])

dnl CT_REQUIRE(VAR, module and version, Debian package, header, function): stops with a clear message
dnl without it.
AC_DEFUN([CT_REQUIRE],
[PKG_CHECK_MODULES([$1], [$2], [],
    [AC_MSG_ERROR([$2 is required: $$1_PKG_ERRORS (Debian: apt-get install $3)])])
CT_IF_LINKS([$1], [$4], [$5], [], [],
    [AC_MSG_ERROR([CT_BROKEN([$4], [$2], [$3])])])])

dnl CT_OPTIONAL(name, VAR, module and version, use, Debian package, header, function, more libraries):
dnl --with-name=yes|no|check. Sets $ct_have_VAR, $ct_summary_VAR, the conditional HAVE_VAR and
dnl CT_HAVE_VAR in config.h.
AC_DEFUN([CT_OPTIONAL],
[AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=yes|no|check], [$3, for $4 @<:@check@:>@])],
    [], [with_$1=check])
ct_have_$2=no
ct_summary_$2='no (--without-$1)'
AS_IF([test "x$with_$1" != xno],
    [PKG_CHECK_MODULES([$2], [$3],
        [CT_IF_LINKS([$2], [$6], [$7], [$8], [ct_have_$2=yes],
            [ct_summary_$2='no (broken: $4 left out)'
             AS_IF([test "x$with_$1" = xyes], [AC_MSG_ERROR([--with-$1 was given, but CT_BROKEN([$6], [$3], [$5])])],
                [AC_MSG_WARN([CT_BROKEN([$6], [$3], [$5])])])
             $2_CFLAGS= $2_LIBS=])],
        [ct_summary_$2='no (not found: $4 left out)'
         AS_IF([test "x$with_$1" = xyes],
            [AC_MSG_ERROR([--with-$1 was given, but: $$2_PKG_ERRORS (Debian: apt-get install $5)])])])
     AS_IF([test $ct_have_$2 = yes],
        [ct_summary_$2=`$PKG_CONFIG --modversion "$3"`
         AC_DEFINE([CT_HAVE_$2], [1], [$3 is there, for $4.])
         AC_DEFINE_UNQUOTED([CT_$2_VERSION], ["$ct_summary_$2"], [The version of $3.])])])
AM_CONDITIONAL([HAVE_$2], [test $ct_have_$2 = yes])])

dnl CT_MPI(name, VAR, module and version, title, Debian package): CT_OPTIONAL for the plug-in of an MPI,
dnl and the conditional VAR_PLUGIN. A plug-in needs the shared library.
AC_DEFUN([CT_MPI],
[CT_OPTIONAL([$1], [$2], [$3], [training by several processes], [$5], [mpi.h], [MPI_Init])
ct_plugin_$2=$ct_have_$2
AS_IF([test $ct_have_$2$enable_shared = yesno],
    [ct_plugin_$2=no
     ct_summary_$2='no (plug-ins need --enable-shared)'
     AS_IF([test "x$with_$1" = xyes],
        [AC_MSG_ERROR([--with-$1 was given, but the plug-in for $4 needs --enable-shared])])])
AM_CONDITIONAL([$2_PLUGIN], [test $ct_plugin_$2 = yes])])

dnl CT_BLAS: OpenBLAS by pkg-config, then any library with cblas_sgemm, else none (--without-blas).
dnl Sets BLAS_CFLAGS, BLAS_LIBS, $ct_have_blas; CT_HAVE_BLAS and CT_HAVE_OPENBLAS in config.h. A
dnl shared OpenBLAS is opened at the first product (tensor/cpu/blas.c): CT_OPENBLAS_FILE is its name,
dnl and CT_BLAS_LIBS, what the library is linked with, has none. For others it is BLAS_LIBS.
AC_DEFUN([CT_BLAS],
[AC_ARG_WITH([blas], [AS_HELP_STRING([--without-blas], [use the plain built-in GEMM])], [], [with_blas=check])
ct_have_blas=no
ct_openblas_file=
ct_blas_summary='no (--without-blas): plain built-in GEMM'
AS_IF([test "x$with_blas" != xno],
    [ct_blas_summary='no (not found): plain built-in GEMM'
     PKG_CHECK_MODULES([BLAS], [openblas], [ct_blas_from="OpenBLAS `$PKG_CONFIG --modversion openblas`"],
        [BLAS_CFLAGS= BLAS_LIBS= ct_blas_from=])
     ct_save_LIBS=$LIBS
     ct_save_CPPFLAGS=$CPPFLAGS
     LIBS="$BLAS_LIBS $LIBS"
     CPPFLAGS="$CPPFLAGS $BLAS_CFLAGS"
     AC_SEARCH_LIBS([cblas_sgemm], [openblas cblas blas],
        [AS_CASE([$ac_cv_search_cblas_sgemm], [-l*],
            [BLAS_LIBS="$ac_cv_search_cblas_sgemm $BLAS_LIBS" ct_blas_from=$ac_cv_search_cblas_sgemm])
         AC_CHECK_HEADER([cblas.h], [ct_have_blas=yes])])
     AS_IF([test $ct_have_blas = yes],
        [AC_DEFINE([CT_HAVE_BLAS], [1], [There is a BLAS with its C interface, <cblas.h>.])
         ct_blas_summary=$ct_blas_from
         AC_CHECK_FUNCS([openblas_set_num_threads openblas_get_config])
         AS_IF([test "$ac_cv_func_openblas_set_num_threads$ac_cv_func_openblas_get_config" = yesyes],
            [AC_DEFINE([CT_HAVE_OPENBLAS], [1], [The BLAS is OpenBLAS: it can be set to one thread.])
             AC_MSG_CHECKING([for the file of OpenBLAS])
             AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <cblas.h>]], [[openblas_set_num_threads(1);]])],
                [ct_openblas_file=`$CT_OBJDUMP -p conftest$ac_exeext 2>/dev/null |
                    $SED -n 's/^ *NEEDED  *\(lib.*blas[[^ ]]*\)$/\1/p' | $SED 1q`])
             AC_MSG_RESULT([${ct_openblas_file:-unknown: it is linked}])
             AS_IF([test -n "$ct_openblas_file"],
                [AC_DEFINE_UNQUOTED([CT_OPENBLAS_FILE], ["$ct_openblas_file"],
                    [OpenBLAS, which is opened at the first product.])
                 ct_blas_summary="$ct_blas_summary, opened as $ct_openblas_file"])])],
        [BLAS_CFLAGS= BLAS_LIBS=
         AS_IF([test "x$with_blas" = xyes],
            [AC_MSG_ERROR([--with-blas was given, but no BLAS was found with which a program with <cblas.h> links: see config.log (Debian: apt-get install libopenblas-dev)])])])
     LIBS=$ct_save_LIBS
     CPPFLAGS=$ct_save_CPPFLAGS])
AS_IF([test -n "$ct_openblas_file"], [CT_BLAS_LIBS=], [CT_BLAS_LIBS=$BLAS_LIBS])
AC_SUBST([BLAS_CFLAGS])
AC_SUBST([BLAS_LIBS])
AC_SUBST([CT_BLAS_LIBS])])

dnl ---- where the installed files are ------------------------------------------------------

dnl CT_RELOCATABLE: the files for pkg-config and CMake find the library from their own place, so that
dnl an installation can be moved. Where libdir or pkgconfigdir is not below the prefix, they have
dnl the absolute paths. Sets cmakedir, ct_pc_prefix, ct_cmake_prefix, ct_libdir_below and
dnl ct_includedir_below.
AC_DEFUN([CT_RELOCATABLE],
[ct_save_prefix=$prefix ct_save_exec_prefix=$exec_prefix
test "x$prefix" != xNONE || prefix=$ac_default_prefix
test "x$exec_prefix" != xNONE || exec_prefix=$prefix
cmakedir='${libdir}/cmake/Cotangent'
AC_SUBST([cmakedir])
CT_BELOW_PREFIX([ct_pc_below], [$pkgconfigdir])
CT_BELOW_PREFIX([ct_cmake_below], [$cmakedir])
CT_BELOW_PREFIX([ct_libdir_below], [$libdir])
CT_BELOW_PREFIX([ct_includedir_below], [$includedir])
AS_CASE([" $ct_pc_below $ct_cmake_below $ct_libdir_below $ct_includedir_below "], [*" /"*],
    [ct_pc_prefix=$prefix ct_cmake_prefix=$prefix],
    [ct_pc_prefix='${pcfiledir}/'`AS_ECHO(["$ct_pc_below"]) | $SED 's,@<:@^/@:>@@<:@^/@:>@*,..,g'`
     ct_cmake_prefix='${CMAKE_CURRENT_LIST_DIR}/'`AS_ECHO(["$ct_cmake_below"]) | $SED 's,@<:@^/@:>@@<:@^/@:>@*,..,g'`])
AS_CASE([$ct_libdir_below], [/*], [ct_cmake_libdir=$ct_libdir_below],
    [ct_cmake_libdir='${_cotangent_prefix}/'$ct_libdir_below])
AS_CASE([$ct_includedir_below], [/*], [ct_cmake_includedir=$ct_includedir_below],
    [ct_cmake_includedir='${_cotangent_prefix}/'$ct_includedir_below])
AC_SUBST([ct_pc_prefix])
AC_SUBST([ct_cmake_prefix])
AC_SUBST([ct_cmake_libdir])
AC_SUBST([ct_cmake_includedir])
prefix=$ct_save_prefix exec_prefix=$ct_save_exec_prefix])

dnl CT_BELOW_PREFIX(VAR, folder): the folder's path from the prefix on; the absolute one if it is
dnl elsewhere. The folder may name other variables.
AC_DEFUN([CT_BELOW_PREFIX],
[eval "$1=\"$2\""
eval "$1=\"[$]$1\""
eval "$1=\"[$]$1\""
AS_CASE([[$]$1], ["$prefix"/*], [$1=`AS_ECHO(["[$]$1"]) | $SED "s,^$prefix/,,"`])])
