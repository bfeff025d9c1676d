#!/bin/sh
# SPDX-License-Identifier: MIT
# cuda_static.sh - checks the CUDA kernels without a GPU: they use the launch header and
# launch bounds; nvcc gives no warning; no kernel spills registers, needs more registers for a block
# than a multiprocessor has, or uses more than 48 KiB of static shared memory.
#
# Compiles for one architecture, $COTANGENT_CUDA_ARCH (sm_80).

. "$(dirname "$0")/lib.sh"
arch=${COTANGENT_CUDA_ARCH:-sm_80}
make_tmp

# Prints a line for each fault in the given source files. A kernel's launch bounds are on the line
# of __global__ or on the next line.
source_faults()
{
    awk '
    FNR == 1 { want = 0 }
    {
        code = $0
        sub(/\/\/.*/, "", code)
        gsub(/"[^"]*"/, "", code)
        if (code ~ /^[ ]*\/?\*/)
            next
        if (code ~ /<<<|[^_]__shared__|^__shared__|cudaMallocManaged|cooperative_groups|tex[12]D/ ||
            code ~ /[^_a-z]asm[^_a-z]|cudaStreamPerThread|cudaStreamLegacy|__expf|__logf|__sinf/)
            print FILENAME ":" FNR ": not by the launch header: " $0
        if (want && code !~ /__launch_bounds__/)
            print FILENAME ":" FNR ": a kernel without launch bounds"
        want = code ~ /__global__/ && code !~ /__launch_bounds__/
    }' "$@"
}

# Reads the output of nvcc -Xptxas -v ($1) and PTX ($2), and prints a line for each kernel that
# needs too much.
resource_faults()
{
    awk '
    FNR == NR {
        if (/\.entry/) { name = $0; sub(/.*\.entry */, "", name); sub(/[ (].*/, "", name) }
        if (/\.maxntid/) { block[name] = $2 + 0 }
        next
    }
    /Compiling entry function/ {
        name = $0; sub(/^[^\047]*\047/, "", name); sub(/\047.*/, "", name)
    }
    /bytes spill stores/ && !/ 0 bytes spill stores, 0 bytes spill loads/ {
        print name ": spills: " $0
    }
    /Used [0-9]+ registers/ {
        registers = $0; sub(/.*Used /, "", registers); sub(/ .*/, "", registers)
        shared = 0
        if (match($0, /[0-9]+ bytes smem/))
            shared = substr($0, RSTART) + 0
        if (!(block[name] > 0))
            print name ": no launch bounds in its PTX"
        else if (registers * block[name] > 65536)
            print name ": " registers " registers for each of " block[name] " threads"
        if (shared > 49152)
            print name ": " shared " bytes of static shared memory"
        kernels++
    }
    END { if (!kernels) print "no kernel found" }' "$2" "$1"
}

# The checks must find planted faults.
cat > "$tmp/wrong.cu" <<'END'
__global__ void unbounded(float *p)
{
    __shared__ float s[2];
}
void start() { unbounded<<<1, 2>>>(0); }
END
if [ "$(source_faults "$tmp/wrong.cu" | wc -l)" -ne 3 ]; then
    say "its own checks of the source fail"
    exit 1
fi
printf '.entry a(\n.maxntid 256, 1, 1\n.entry b(\n.maxntid 256, 1, 1\n' > "$tmp/wrong.ptx"
cat > "$tmp/wrong.log" <<'END'
ptxas info    : Compiling entry function 'a' for 'sm_80'
    8 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 257 registers, used 0 barriers, 49153 bytes smem
ptxas info    : Compiling entry function 'c' for 'sm_80'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 20 registers, used 0 barriers
END
if [ "$(resource_faults "$tmp/wrong.log" "$tmp/wrong.ptx" | wc -l)" -ne 4 ]; then
    say "its own checks of resources fail"
    exit 1
fi

source_faults "$srcdir"/cuda/*.cu "$srcdir"/cuda/device.h "$srcdir"/cuda/strided.h > "$tmp/faults"

nvcc=${NVCC:-nvcc}
if ! command -v $nvcc > "$tmp/where" 2>&1; then
    nvcc=${CUDA_HOME:-/usr/local/cuda}/bin/nvcc
fi
if ! command -v $nvcc > "$tmp/where" 2>&1; then
    cat "$tmp/faults"
    [ -s "$tmp/faults" ] && exit 1
    say "no nvcc, so only the source was checked"
    exit 77
fi
for file in "$srcdir"/cuda/*.cu; do
    name=$(basename "$file" .cu)
    mkdir "$tmp/$name" &&
    $nvcc -std=c++17 -arch="$arch" -Werror all-warnings -Xptxas -v -I. -Iinclude -I"$srcdir" \
        --keep --keep-dir "$tmp/$name" -cubin -o "$tmp/$name.cubin" "$file" \
        > "$tmp/$name.log" 2>&1 || { echo "$file: does not compile" >> "$tmp/faults"
                                      cat "$tmp/$name.log" >> "$tmp/faults"; }
    grep -q '__global__' "$file" &&
        resource_faults "$tmp/$name.log" "$tmp/$name/$name.ptx" >> "$tmp/faults"
done
cat "$tmp/faults"
[ ! -s "$tmp/faults" ]
