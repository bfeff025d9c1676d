#!/bin/sh
# SPDX-License-Identifier: MIT
# configure.sh - configure says what is missing, too old or broken, and which package of Debian has it:
# fake compilers, a fake pkg-config and fake CUDA toolkits in a scratch folder. Libraries and CUDA
# only with COTANGENT_TEST_FULL, because each run takes seconds.

. "$(dirname "$0")/lib.sh"
top=$(pwd)
[ -x "$srcdir/configure" ] || skip 'there is no configure'
make_tmp
mkdir "$tmp/bin" "$tmp/run"
cd "$tmp/run" || exit 99
program=$srcdir/configure
real=${PKG_CONFIG-pkg-config}
compiler=${CC-cc}
unset CC CXX NVCC NVCCFLAGS CFLAGS LIBS PKG_CONFIG PKG_CONFIG_LIBDIR CUDA_HOME CUDA_PATH CONFIG_SITE
runs=0

# PATTERN ARGUMENT...: runs configure; sets $pattern and $status
try()
{
    pattern=$1
    shift
    run "$@"
    runs=$((runs + 1))
}

# fails PATTERN ARGUMENT...: configure fails, and a line that begins with "configure: error" has it
fails()
{
    try "$@"
    shift
    [ $status -ne 0 ] || fail "configure $*: passes"
    grep '^configure: error' "$tmp/err" | grep -q -e "$pattern" || fail "configure $*: no error '$pattern'"
}

# warns PATTERN ARGUMENT...: configure passes, and prints a line with it
warns()
{
    try "$@"
    shift
    [ $status -eq 0 ] || fail "configure $*: fails"
    cat "$tmp/out" "$tmp/err" | grep -q -e "$pattern" || fail "configure $*: no line '$pattern'"
}

# A compiler that knows nothing after C99.
cat >"$tmp/bin/old-cc" <<END
#!/bin/sh
for word; do
    shift
    case \$word in -std=*) ;; *) set -- "\$@" "\$word" ;; esac
done
exec $compiler -std=gnu99 "\$@"
END
chmod +x "$tmp/bin/old-cc"
case $HOST_CPU in aarch64) other=s390x ;; *) other=aarch64 ;; esac
fails 'path with a space' --prefix='/a b'
fails 'there is no m68k-linux-gnu-gcc (Debian: apt-get install gcc-m68k-linux-gnu)' \
    --host=m68k-linux-gnu
fails "another processor than $other.*--host" --host=$other-linux-gnu CC="$compiler"
fails "$("$tmp/bin/old-cc" --version | sed 1q)) is too old.*gcc 9.*apt-get install gcc" CC="$tmp/bin/old-cc"

# What configure found may have any characters when make check prints it.
MAKEFLAGS= ${MAKE-make} -C "$top" -n check-local ct_summary_emu="none: it's (not \"here\")" >"$tmp/lines" &&
    sh -n "$tmp/lines" || fail 'the recipe of check-local is no shell text'
if [ -z "$COTANGENT_TEST_FULL" ]; then
    say "$runs runs; those for libraries and CUDA are left out (make check-full)"
    exit 0
fi

# A pkg-config that does not find $MISSING and has wrong flags for $BROKEN.
cat >"$tmp/bin/pkg-config" <<END
#!/bin/sh
case " \$* " in
*" \$MISSING "*) echo "Package '\$MISSING' was not found" >&2; exit 1 ;;
*--cflags*" \$BROKEN "*) exit 0 ;;
*--libs*" \$BROKEN "*) echo -lct_there_is_no_such_library; exit 0 ;;
*--modversion*" \$BROKEN "*) echo 99; exit 0 ;;
*" \$BROKEN "*) exit 0 ;;
esac
exec $real "\$@"
END
printf '#!/bin/sh\nexit 1\n' >"$tmp/bin/old-pkg-config"
chmod +x "$tmp/bin/pkg-config" "$tmp/bin/old-pkg-config"
PKG_CONFIG=$tmp/bin/pkg-config MISSING='' BROKEN=
export PKG_CONFIG MISSING BROKEN

none="--cache-file=$tmp/cache CC=$compiler NVCC=$tmp/cuda/bin/nvcc --without-cuda --without-blas --without-libxsmm
    --without-utf8proc --without-zlib --without-curl --without-openmpi --without-mpich"
# shellcheck disable=SC2086 # options
configure()     # KIND PATTERN ARGUMENT...: without what the arguments do not name
{
    kind=$1 wanted=$2
    shift 2
    $kind "$wanted" $none "$@"
}
configure fails 'pkg-config was not found (Debian: apt-get install pkg-config)' \
    PKG_CONFIG="$tmp/bin/old-pkg-config"

# module, option, package
while read -r module option package; do
    MISSING=$module BROKEN=
    configure fails "apt-get install $package)" --without-check "$option"
    MISSING='' BROKEN=$module
    configure fails "does not link.*apt-get install --reinstall $package;" --without-check "$option"
done <<'END'
nettle --disable-silent-rules nettle-dev
libxsmmnoblas --with-libxsmm=yes libxsmm-dev
libutf8proc --with-utf8proc=yes libutf8proc-dev
zlib --with-zlib=yes zlib1g-dev
libcurl --with-curl=yes libcurl4-openssl-dev
ompi-c --with-openmpi=yes libopenmpi-dev
mpich --with-mpich=yes libmpich-dev
check --with-check=yes check
END
MISSING='' BROKEN=zlib
configure warns 'WARNING:.*zlib.h.*does not link' --without-check --with-zlib=check
grep -q 'zlib  *no (broken' "$tmp/out" || fail 'the summary does not say that zlib is broken'
MISSING=check BROKEN=
configure warns 'WARNING: no Check.*apt-get install check)'
MISSING=openblas
configure fails 'BLAS.*apt-get install libopenblas-dev' --with-blas ac_cv_search_cblas_sgemm=no \
    --cache-file=/dev/null

# toolkit NVCC-RELEASE HEADERS LIBRARY TEXT-OF-HEADERS: a CUDA toolkit in $tmp/cuda
toolkit()
{
    rm -rf "$tmp/cuda"
    mkdir -p "$tmp/cuda/bin" "$tmp/cuda/include" "$tmp/cuda/lib64"
    printf '#define CUDART_VERSION %s\n%s\n' "$2" "$4" >"$tmp/cuda/include/cuda_runtime_api.h"
    echo '#include "cuda_runtime_api.h"' >"$tmp/cuda/include/cuda_runtime.h"
    : >"$tmp/cuda/include/cublas_v2.h"
    : >"$tmp/cuda/lib64/libcublas.so"
    : >"$tmp/cuda/lib64/libcudart.so.$3"
    cat >"$tmp/cuda/bin/nvcc" <<END
#!/bin/sh
case \$1 in --version) echo 'Cuda compilation tools, release $1, V$1.1'; exit ;; esac
echo 'conftest.cu:1: error: this is no compiler'
exit 1
END
    chmod +x "$tmp/cuda/bin/nvcc"
}
MISSING=
cuda()          # PATTERN
{
    configure fails "$1" --without-check --with-cuda="$tmp/cuda"
}
cuda 'cuda_runtime.h and cublas_v2.h are in none of: .*libcublas-dev'
toolkit 11.8 11080 11.0 ''
cuda 'nvcc is of CUDA 11.8; 12 or newer is needed'
toolkit 12.4 13000 12 ''
cuda 'nvcc is of CUDA 12.4, but the headers in .* are of CUDA 13'
toolkit 13.0 13000 12 ''
cuda 'nvcc is of CUDA 13.0, but .* has libcudart.so.12'
toolkit 13.0 13000 13 ''
cuda 'does not build a module.*error: this is no compiler'
toolkit 13.0 13000 13 '#error broken'
rm "$tmp/cuda/bin/nvcc"
cuda 'nvcc cannot be used: .*names no release'
say "$runs runs"
