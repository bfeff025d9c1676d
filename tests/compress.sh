#!/bin/sh
# SPDX-License-Identifier: MIT
# compress.sh - examples/compress restores each file, on any code path, and refuses damaged
# files and files of other formats.

. "$(dirname "$0")/lib.sh"
unset COTANGENT_CPU_PATH GLIBC_TUNABLES

make_tmp
compress=$PWD/examples/compress
text=$(cd "${srcdir-.}" && pwd)/data/sample.txt
cd "$tmp" || exit 99

refuses()   # STATUS PATTERN ARGUMENT...: nothing is written to the file "none"
{
    status=$1 pattern=$2
    shift 2
    "$compress" "$@" >said 2>&1
    got=$?
    [ $got -eq "$status" ] || fail "$*: status $got, not $status"
    grep -q -e "$pattern" said || { cat said; fail "$*: does not say: $pattern"; }
    [ ! -e none ] || fail "$*: left a file behind"
}

same()      # FILE ARGUMENT...: is what decompressing gives
{
    file=$1
    shift
    "$compress" -d "$@" back >said 2>&1 || { cat said; fail "-d $* failed"; }
    cmp "$file" back || fail "-d $* gave something else"
}

head -c 1500 "$text" >text
: >empty
printf 'aaaaaaaaaaaa' >one
head -c 400 "$compress" >binary
"$compress" -t -m model -H 16 -p 4 text || fail "no model"

# a file that one code path wrote is read on the others
no_fma=glibc.cpu.hwcaps=-AVX2_Usable,-FMA_Usable,-AVX2,-FMA,-FMA4
for writer in COTANGENT_CPU_PATH=base COTANGENT_CPU_PATH=avx512 GLIBC_TUNABLES=$no_fma; do
    env $writer "$compress" -H 16 -p 4 text coded >/dev/null || fail "$writer failed"
    for reader in COTANGENT_CPU_PATH=base COTANGENT_CPU_PATH=avx2 OPENBLAS_CORETYPE=Prescott; do
        env $reader "$compress" -d coded back || fail "$reader does not read what $writer wrote"
        cmp text back || fail "$reader gives something else than $writer was given"
    done
done
[ "$(wc -c <coded)" -lt 1200 ] || fail "1500 bytes of text became $(wc -c <coded)"

for file in empty one binary; do
    "$compress" -H 8 -p 1 $file coded_$file >/dev/null || fail "$file: not compressed"
    same $file coded_$file
done
"$compress" --embed -H 8 -p 2 text embedded >/dev/null || fail "--embed failed"
same text embedded
"$compress" -m model -H 16 text given >/dev/null || fail "-m failed"
same text -m model given

# cut, changed, made with another model, of another format
for cut in 0 50 119 300; do
    head -c $cut coded >short
    refuses 1 'compress' -d short none
done
for at in 5 20 60 87 110 125 400; do
    cp coded changed
    printf '\377' | dd of=changed bs=1 seek=$at conv=notrunc 2>/dev/null
    cmp -s coded changed || refuses 1 'compress: changed: ' -d changed none
done
refuses 1 'needs the model' -d given none
cp model other
printf '\1' | dd of=other bs=1 seek=$(($(wc -c <other) - 1)) conv=notrunc 2>/dev/null
refuses 1 'another model' -d -m other given none
refuses 1 'is not a file that compress wrote' -d text none

# hostile sizes in the header are refused
byte()      # FILE OFFSET OCTAL...: writes these bytes
{
    file=$1 at=$2
    shift 2
    for value in "$@"; do
        printf "\\$value" | dd of="$file" bs=1 seek=$at conv=notrunc 2>/dev/null
        at=$((at + 1))
    done
}
for top in 82 83 87; do     # the size is at 80, its lowest byte first
    cp coded large
    byte large $top 177 
    [ $top -ne 82 ] || byte large 83 1
    case $top in
    82) refuses 1 'large: is damaged: ' -d large none ;;
    *) refuses 1 'large: is damaged: its content would be larger than' -d large none ;;
    esac
done
cp coded hollow
for at in $(seq 48 79); do
    byte hollow $at 0
done
refuses 1 'hollow: is damaged: it has content, but no byte' -d hollow none
cp embedded nan
for at in $(seq 120 2 518); do      # weights, from 120 on
    byte nan $at 377 177
done
refuses 1 'nan: is damaged' -d nan none
head -c 200 embedded >short
refuses 1 'short: is damaged' -d short none
"$compress" -d coded_one none >/dev/null && rm none || fail "coded_one"
truncate -s 257M sparse 2>/dev/null && {
    refuses 1 'sparse: is too large' sparse none
    refuses 1 'sparse: is too large' -d sparse none
    rm sparse
}
refuses 1 'No such file' missing none
refuses 1 'Is a directory' . none
refuses 1 'not a regular file' text /dev/null
refuses 2 'are the same file' text ./text
refuses 2 'are the same file' -d coded coded
refuses 2 'are the same file' --train -m text text
refuses 1 'No such file' text missing/none
refuses 2 'output file is missing' text
refuses 2 'do not go together' -d --embed coded none
refuses 2 'not a whole number from 1 to 255' -H 0 text none
exit 0
