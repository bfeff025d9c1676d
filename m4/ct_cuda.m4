dnl SPDX-License-Identifier: MIT
dnl CT_CUDA: the CUDA toolkit, for the plug-ins of cuda/. Its headers and a C++ compiler suffice for
dnl cuda-emu; nvcc and the libraries make cuda. Neither is looked at --without-cuda.
dnl
dnl Sets CUDA_CPPFLAGS, CUDA_LIBS, CT_CUDA_WERROR, CT_NVCC_FLAGS; the variables NVCC, NVCCFLAGS and CXX, CUDA_CXXFLAGS
dnl can be given; conditionals CUDA and CUDA_EMU; $ct_summary_cuda, $ct_summary_emu.
AC_DEFUN([CT_CUDA],
[AC_ARG_WITH([cuda],
    [AS_HELP_STRING([--with-cuda=DIR|yes|no|check], [the CUDA toolkit, for the device cuda @<:@check@:>@])],
    [], [with_cuda=check])
AC_ARG_VAR([NVCC], [CUDA's compiler])
AC_ARG_VAR([NVCCFLAGS], [its flags @<:@-O3 -arch=all-major, compressed@:>@; one -arch=sm_80 builds faster])
AC_ARG_VAR([CXX], [C++ compiler, for the device cuda-emu alone])
AC_ARG_VAR([CUDA_CXXFLAGS], [its flags @<:@-O2 -g@:>@])
ct_cuda=no
ct_emu=no
ct_summary_cuda='no (--without-cuda)'
ct_summary_emu=$ct_summary_cuda
AS_IF([test "x$with_cuda" = xno], [],
    [test "$enable_shared" != yes],
    [ct_summary_cuda='no (--disable-shared: plug-ins are shared)' ct_summary_emu=$ct_summary_cuda],
    [CT_CUDA_FIND])
AS_IF([test "x$with_cuda" != xno && test "x$with_cuda" != xcheck && test $ct_cuda$ct_emu = nono],
    [AC_MSG_ERROR([--with-cuda was given, but: $ct_summary_cuda])])
dnl Where the C compiler goes through ccache, these do.
AS_CASE([$CC], [ccache\ *], [ct_ccache='ccache '], [ct_ccache=])
AC_SUBST([CT_NVCC], ["$ct_ccache$NVCC"])
AC_SUBST([CT_CXX], ["$ct_ccache$CXX"])
AC_SUBST([CUDA_CPPFLAGS])
AC_SUBST([CUDA_LIBS])
AC_SUBST([CT_NVCC_FLAGS])
AC_SUBST([CT_CUDA_WERROR])
AC_SUBST([CT_CXX_WERROR])
AC_SUBST([CT_CXX_PREFIX_MAP])
AC_SUBST([ct_summary_emu])
AM_CONDITIONAL([CUDA], [test $ct_cuda = yes])
AM_CONDITIONAL([CUDA_EMU], [test $ct_emu = yes])
])

dnl Where the toolkit is: the folder given, $CUDA_HOME, $CUDA_PATH, nvcc's own, the usual places.
AC_DEFUN([CT_CUDA_FIND],
[AC_MSG_CHECKING([for the CUDA toolkit])
ct_nvcc_path=`command -v ${NVCC-nvcc} 2>/dev/null`
AS_CASE([$with_cuda],
    [yes | check],
        [ct_nvcc_home=
         AS_IF([test -n "$ct_nvcc_path"],
            [ct_nvcc_home=`dirname "$ct_nvcc_path"`/..])
         ct_cuda_places="$CUDA_HOME $CUDA_PATH $ct_nvcc_home /usr/local/cuda /opt/cuda /usr/lib/cuda /usr"],
    [ct_cuda_places=$with_cuda])
ct_cuda_home=
for ct_dir in $ct_cuda_places; do
    AS_IF([test -f "$ct_dir/include/cuda_runtime.h" && test -f "$ct_dir/include/cublas_v2.h"],
        [ct_cuda_home=`cd "$ct_dir" && pwd`
         break])
done
AC_MSG_RESULT([${ct_cuda_home:-no}])
AS_IF([test -z "$ct_cuda_home"],
    [ct_summary_cuda="no (cuda_runtime.h and cublas_v2.h are in none of: `echo $ct_cuda_places`; NVIDIA's packages cuda-nvcc and libcublas-dev have them)"
     ct_summary_emu=$ct_summary_cuda],
    [AS_CASE([$ct_cuda_home], [/usr], [CUDA_CPPFLAGS=], [CUDA_CPPFLAGS="-isystem $ct_cuda_home/include"])
     CT_CUDA_EMU
     CT_CUDA_NVCC])])

dnl The toolkit's headers under a C++ compiler.
AC_DEFUN([CT_CUDA_EMU],
[AC_CHECK_PROGS([CXX], [g++ c++ clang++], [no])
AS_IF([test "${CUDA_CXXFLAGS+set}" != set], [CUDA_CXXFLAGS='-O2 -g'])
AC_MSG_CHECKING([whether $CXX compiles CUDA's headers])
cat >conftest.cc <<'CT_END'
#include <cuda_runtime.h>
#include <cublas_v2.h>
static_assert(CUDART_VERSION >= 12000, "too old");
template <typename... P> void f(void (*g)(P...), P... p) { (g(p), ...); }
CT_END
AS_IF([test "$CXX" != no &&
       $CXX -std=c++17 $CUDA_CXXFLAGS $CUDA_CPPFLAGS -fPIC -c conftest.cc -o conftest.$ac_objext >&AS_MESSAGE_LOG_FD 2>&1],
    [ct_emu=yes ct_summary_emu="$CXX, headers of $ct_cuda_home"],
    [ct_summary_emu="no ($CXX does not compile the headers of $ct_cuda_home, CUDA 12 or newer)"])
CT_CXX_PREFIX_MAP=
AS_IF([test -n "$CT_PREFIX_MAP" && $CXX $CT_PREFIX_MAP -Werror -c -x c++ /dev/null -o conftest.$ac_objext >&AS_MESSAGE_LOG_FD 2>&1],
    [CT_CXX_PREFIX_MAP=$CT_PREFIX_MAP])
rm -f conftest.*
AC_MSG_RESULT([$ct_emu])
AS_IF([test $enable_werror = yes], [CT_CXX_WERROR=-Werror], [CT_CXX_WERROR=])])

dnl nvcc, and libraries to link with. With --objdir-as-tempdir its temporary files, whose names are in
dnl the objects, have names without the number of a process. --compress-mode=size, unless NVCCFLAGS is
dnl given, makes the plug-in several times smaller (docs/cuda.md); CUDA before 12.8 has no such option.
AC_DEFUN([CT_CUDA_NVCC],
[AC_PATH_PROGS([NVCC], [nvcc], [no], [$ct_cuda_home/bin$PATH_SEPARATOR$PATH])
ct_nvcc_options='--objdir-as-tempdir --none'
AS_IF([test "${NVCCFLAGS+set}" != set],
    [NVCCFLAGS='-O3 -arch=all-major'
     ct_nvcc_options="--objdir-as-tempdir,--compress-mode=size $ct_nvcc_options"])
AS_IF([test $enable_werror = yes], [CT_CUDA_WERROR='-Werror all-warnings'], [CT_CUDA_WERROR=])
CT_NVCC_FLAGS=
AS_IF([test "$NVCC" = no],
    [ct_summary_cuda="no (no nvcc in $ct_cuda_home/bin: NVIDIA's packages cuda-nvcc and libcublas-dev have what is needed)"],
    [AC_MSG_CHECKING([whether $NVCC and cuBLAS make a module])
     CT_CUDA_LIBS
     CT_CUDA_VERSIONS
     AS_IF([test -n "$ct_cuda_mixed"], [ct_summary_cuda="no ($ct_cuda_mixed)"], [CT_CUDA_MODULE])
     AC_MSG_RESULT([$ct_cuda])
     AS_IF([test $ct_cuda = no && test "x$with_cuda" != xcheck],
        [AC_MSG_ERROR([--with-cuda was given, but nvcc cannot be used: $ct_summary_cuda])])])])

dnl Sets CUDA_LIBS, and ct_cuda_libdir to the folder of libcublas, if it is not one that the linker knows.
AC_DEFUN([CT_CUDA_LIBS],
[CUDA_LIBS=
ct_cuda_libdir=
for ct_dir in lib64 lib targets/$host_cpu-linux/lib; do
    AS_IF([test -f "$ct_cuda_home/$ct_dir/libcublas.so"],
        [ct_cuda_libdir=$ct_cuda_home/$ct_dir
         CUDA_LIBS="-L$ct_cuda_libdir -R$ct_cuda_libdir"
         break])
done
CUDA_LIBS="$CUDA_LIBS -lcublas -lcudart -lstdc++"])

dnl Sets ct_cuda_mixed to what does not fit: nvcc, the headers and the runtime library must have the same
dnl major version, 12 or more.
AC_DEFUN([CT_CUDA_VERSIONS],
[ct_nvcc_release=`$NVCC --version 2>/dev/null | $SED -n 's/.*release \([[0-9.]]*\),.*/\1/p'`
ct_nvcc_major=`AS_ECHO(["$ct_nvcc_release"]) | $SED 's/\..*//'`
ct_header_major=`cat "$ct_cuda_home/include/cuda_runtime_api.h" 2>/dev/null |
    $SED -n 's/^.define CUDART_VERSION *\([[0-9]]*\)[[0-9]][[0-9]][[0-9]].*/\1/p'`
ct_cudart_major=`ls "$ct_cuda_libdir"/libcudart.so.[[0-9]]* 2>/dev/null | $SED -n 's/.*libcudart\.so\.\([[0-9]]*\)$/\1/p' | $SED 1q`
ct_cuda_mixed=
AS_IF([test -z "$ct_nvcc_major"], [ct_cuda_mixed="$NVCC --version names no release: is it CUDA's compiler?"],
    [test "$ct_nvcc_major" -lt 12], [ct_cuda_mixed="$NVCC is of CUDA $ct_nvcc_release; 12 or newer is needed"],
    [test -n "$ct_header_major" && test "$ct_header_major" != "$ct_nvcc_major"],
        [ct_cuda_mixed="$NVCC is of CUDA $ct_nvcc_release, but the headers in $ct_cuda_home/include are of CUDA $ct_header_major: set NVCC or --with-cuda=DIR"],
    [test -n "$ct_cudart_major" && test "$ct_cudart_major" != "$ct_nvcc_major"],
        [ct_cuda_mixed="$NVCC is of CUDA $ct_nvcc_release, but $ct_cuda_libdir has libcudart.so.$ct_cudart_major: set NVCC or --with-cuda=DIR"])])

dnl Builds a small module, with those of the options that nvcc takes.
AC_DEFUN([CT_CUDA_MODULE],
[cat >conftest.cu <<'CT_END'
#include <cublas_v2.h>
__global__ void k(int *p) { *p = 1; }
int f(int *p) { cublasHandle_t h; k<<<1, 1>>>(p); return (int)cublasCreate(&h); }
CT_END
ct_link=`AS_ECHO(["$CUDA_LIBS"]) | $SED 's/-R[[^ ]]*//g'`
for ct_try in $ct_nvcc_options; do
    CT_NVCC_FLAGS=`AS_ECHO(["$ct_try"]) | $SED 's/,/ /g; s/--none//'`
    AS_IF([$NVCC -std=c++17 $CT_NVCC_FLAGS $NVCCFLAGS --compiler-options=-fPIC -shared conftest.cu -o conftest.so $ct_link >conftest.err 2>&1],
        [ct_cuda=yes
         break])
    cat conftest.err >&AS_MESSAGE_LOG_FD
done
AS_IF([test $ct_cuda = yes],
    [ct_summary_cuda="$ct_nvcc_release, $NVCC `AS_ECHO(["$CT_NVCC_FLAGS $NVCCFLAGS"]) | $SED 's/--objdir-as-tempdir *//; s/^ *//'`"],
    [ct_cuda_why=`$SED -n '/error\|cannot find\|undefined\|No such file\|nvcc fatal/{p;q;}' conftest.err`
     ct_summary_cuda="no ($NVCC does not build a module that links with cuBLAS: ${ct_cuda_why:-see config.log})"])
rm -f conftest.*])

dnl CT_NCCL: NCCL, for the plug-in that adds up gradients between GPUs. Call it after CT_CUDA. Sets
dnl NCCL_CPPFLAGS, NCCL_LIBS, the conditional NCCL_PLUGIN and $ct_summary_nccl.
AC_DEFUN([CT_NCCL],
[AC_ARG_WITH([nccl],
    [AS_HELP_STRING([--with-nccl=PREFIX|yes|no|check], [NCCL, for sums between GPUs @<:@check@:>@])],
    [], [with_nccl=check])
ct_nccl=no
NCCL_CPPFLAGS=
NCCL_LIBS=-lnccl
ct_summary_nccl='no (--without-nccl)'
AS_IF([test "x$with_nccl" = xno], [],
    [test $ct_cuda = no], [ct_summary_nccl='no (it needs the device cuda)'],
    [AC_MSG_CHECKING([for NCCL])
     AS_CASE([$with_nccl], [yes | check], [ct_nccl_places="$ct_cuda_home /usr/local /usr"],
        [ct_nccl_places=$with_nccl])
     ct_nccl_home=
     for ct_dir in $ct_nccl_places; do
         AS_IF([test -f "$ct_dir/include/nccl.h"], [ct_nccl_home=$ct_dir
             break])
     done
     AS_CASE([$ct_nccl_home], ['' | /usr], [], [NCCL_CPPFLAGS="-isystem $ct_nccl_home/include"])
     for ct_dir in lib64 lib; do
         AS_IF([test -n "$ct_nccl_home" && test -f "$ct_nccl_home/$ct_dir/libnccl.so"],
             [NCCL_LIBS="-L$ct_nccl_home/$ct_dir -R$ct_nccl_home/$ct_dir -lnccl"
              break])
     done
     ct_save_CPPFLAGS=$CPPFLAGS ct_save_LIBS=$LIBS
     CPPFLAGS="$CPPFLAGS $NCCL_CPPFLAGS $CUDA_CPPFLAGS"
     LIBS="`echo "$NCCL_LIBS" | $SED 's/-R[[^ ]]*//g'` $LIBS"
     AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <nccl.h>
            #if NCCL_VERSION_CODE < 20700
            #error
            #endif]], [[ncclCommAbort(0); return ncclSend(0, 0, ncclFloat, 0, 0, 0);]])],
        [ct_nccl=yes
         ct_summary_nccl="`$SED -n 's/^#define NCCL_M.*OR \(.*\)/\1/p' "$ct_nccl_home/include/nccl.h" | paste -s -d . -`, in $ct_nccl_home"],
        [ct_summary_nccl="no (NCCL 2.7 or newer is in none of: $ct_nccl_places; NVIDIA's package libnccl-dev has it)"])
     CPPFLAGS=$ct_save_CPPFLAGS LIBS=$ct_save_LIBS
     AC_MSG_RESULT([$ct_nccl])])
AS_IF([test "x$with_nccl" != xno && test "x$with_nccl" != xcheck && test $ct_nccl = no],
    [AC_MSG_ERROR([--with-nccl was given, but: $ct_summary_nccl])])
AC_SUBST([NCCL_CPPFLAGS])
AC_SUBST([NCCL_LIBS])
AM_CONDITIONAL([NCCL_PLUGIN], [test $ct_nccl = yes])])
