#!/bin/sh
# SPDX-License-Identifier: MIT
# abi.sh check|update LIBRARY FOLDER - compares the binary interface of the shared library with that
# of the last release, which FOLDER keeps, or rewrites FOLDER. Needs abidw and abidiff 2 (libabigail).
#
#     FOLDER/libcotangent.abi   functions, structs and enums that public headers declare
#     FOLDER/release            release, interface, processor, compiler; then the constants of the
#                               headers that no debug information has (#define CT_..., nameless enums)
#
# $srcdir is the source tree with VERSION and $public_headers, CC the compiler of the library.
# Status 0 if nothing was removed or changed, or if VERSION announces it; 1 if not; 77, with a line
# that says why, if the two cannot be compared.

LC_ALL=C
export LC_ALL
mode=$1 library=$2 folder=$3
: "${srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"

say()   { echo "check-abi: $*"; }
fail()  { say "$*" >&2; exit 1; }
skip()  { say "skipped: $*"; exit 77; }

case $#,$mode in
3,check | 3,update) ;;
*) sed -n '3,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
[ -n "$public_headers" ] || fail 'public_headers is not set'
for tool in abidw abidiff; do
    case $($tool --version 2>/dev/null) in
    "$tool: 2."*) ;;
    '') skip "$tool was not found (Debian: apt-get install abigail-tools)" ;;
    *) skip "$tool is not of version 2" ;;
    esac
done
[ -f "$library" ] || skip "there is no shared library $library (configure --disable-shared?)"
tmp=$(mktemp -d) || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 99' HUP INT TERM

# The processor and the compiler: debug information of others may differ where the interface does not.
echo '__GNUC__ __clang_major__ __SIZEOF_POINTER__' >"$tmp/compiler.c"
# shellcheck disable=SC2086 # a command and its options
made_with=$(${CC-cc} -E -P "$tmp/compiler.c" | tr -d '\n' |
    awk '{ print $2 + 0 ? "clang " $2 : "gcc " $1; print $3 * 8 "-bit" }') || exit 99
compiler=$(echo "$made_with" | sed -n 1p)
processor="${HOST_CPU-$(uname -m)}, $(echo "$made_with" | sed -n 2p)"

dump()      # FILE: the interface of $library
{
    for header in $public_headers; do
        mkdir -p "$tmp/headers/${header%/*}" && cp "$srcdir/$header" "$tmp/headers/$header" || exit 99
    done
    abidw --headers-dir "$tmp/headers" --drop-private-types --exported-interfaces-only \
        --drop-undefined-syms --no-parameter-names --no-show-locs --no-comp-dir-path \
        --no-corpus-path --no-elf-needed --no-architecture --type-id-style hash \
        --out-file "$tmp/abi" "$library" || fail "abidw does not read $library"
    grep -q '<function-decl ' "$tmp/abi" || skip "$library has no debug information (compile with -g)"
    # The paths of sources depend on the build folder.
    sed "s,\(<abi-instr .*path='\)[^']*/,\1," "$tmp/abi" >"$1"
}

constants() # prints "NAME VALUE" for each constant of the headers that is a macro or has no type
{
    for header in $public_headers; do
        awk '
            /^#define CT_[A-Z0-9_]+ / {
                sub(/\/\*.*/, ""); name = $2; $1 = $2 = ""; sub(/^ +/, ""); sub(/ +$/, "")
                if ($0 != "" && $0 !~ /__|\\$/) print name, $0
            }
            /^enum \{/ { list = ""; inside = 1 }
            inside { list = list " " $0 }
            inside && /^\}/ {
                inside = 0
                gsub(/\/\*([^*]|\*[^\/])*\*\//, "", list); gsub(/^ *enum \{|\};? *$|[ \t]/, "", list)
                count = split(list, constants, ",")
                for (i = 1; i <= count; i++) { sub(/=/, " ", constants[i]); print constants[i] }
            }' "$srcdir/$header" || exit 99
    done | sort
}

field()     # FILE NAME: the value of the line "NAME value"
{
    sed -n "s/^$2 //p" "$1"
}

if [ "$mode" = update ]; then
    mkdir -p "$folder" && dump "$folder/libcotangent.abi" || exit 99
    {
        grep -e '^release ' -e '^interface ' "$srcdir/VERSION"
        echo "processor $processor"
        echo "compiler $compiler"
        constants
    } >"$folder/release"
    say "$folder holds the interface of $(field "$folder/release" release):" \
        "$(grep -c '<function-decl ' "$folder/libcotangent.abi") functions," \
        "$(wc -c <"$folder/libcotangent.abi") bytes"
    exit 0
fi

[ -f "$folder/release" ] && [ -f "$folder/libcotangent.abi" ] ||
    skip "$folder holds no interface of a release (make update-abi)"
[ "$(field "$folder/release" processor)" = "$processor" ] ||
    skip "the interface of the release is that for $(field "$folder/release" processor); this is $processor"
[ "$(field "$folder/release" compiler)" = "$compiler" ] ||
    skip "the interface of the release is that of $(field "$folder/release" compiler); this is $compiler"
dump "$tmp/new"

differences()   # OPTION...: prints abidiff's report; its status
{
    abidiff --no-show-locs "$@" "$folder/libcotangent.abi" "$tmp/new" >"$tmp/report" 2>&1
    status=$?
    # Bit 0: an error. The others: something differs.
    [ $((status % 2)) -eq 0 ] && [ $status -lt 16 ] || { cat "$tmp/report"; fail 'abidiff fails'; }
    sed '/ changes summary: /d; /^$/d' "$tmp/report"
    return $status
}

# What a caller that was compiled, or only written, for the release does not survive. abidiff counts
# new names of fields, and const, as harmless; a new constant of an enum is.
differences --no-added-syms >"$tmp/broken" ||
    [ -s "$tmp/broken" ] || echo 'abidiff finds a difference' >"$tmp/broken"
if [ ! -s "$tmp/broken" ]; then
    differences --no-added-syms --harmless >"$tmp/harmless"
    ! grep -q -e "^ *name of '" -e 'entity changed from' -e ' changed from ' "$tmp/harmless" ||
        cp "$tmp/harmless" "$tmp/broken"
fi
sed '1,/^compiler /d' "$folder/release" >"$tmp/constants.old"
constants >"$tmp/constants.new"
comm -23 "$tmp/constants.old" "$tmp/constants.new" | sed 's/^/  [D] constant /' >>"$tmp/broken"

differences --harmless >"$tmp/added"
comm -13 "$tmp/constants.old" "$tmp/constants.new" | sed 's/^/  [A] constant /' >>"$tmp/added"

# The interface that VERSION's rule asks for.
release=$(field "$folder/release" release)
old=$(field "$folder/release" interface)
announced=$(field "$srcdir/VERSION" interface)
current=${old%%:*} age=${old##*:} revision=${old#*:}
revision=${revision%:*}
if [ -s "$tmp/broken" ]; then
    asked=$((current + 1)):0:0 what='removed or changed'
    cat "$tmp/broken"
elif [ -s "$tmp/added" ]; then
    asked=$((current + 1)):0:$((age + 1)) what=added
    cat "$tmp/added"
else
    asked=$current:$((revision + 1)):$age what=
    say "the interface is that of $release"
fi
[ -z "$what" ] || say "the lines above were $what since $release"

if [ "$announced" = "$asked" ]; then
    say "VERSION announces it: interface $asked"
elif [ "$(field "$srcdir/VERSION" release)" != "$release" ]; then
    fail "VERSION must say: interface $asked (by its rule, after $old of $release)"
elif [ "$what" = 'removed or changed' ]; then
    fail "programs made for $release break. Keep what they use; or announce it: in VERSION" \
        "interface $asked, in cotangent.map COTANGENT_$((current + 1)), in CHANGELOG.md a line"
elif [ -n "$what" ]; then
    say "for the next release, VERSION must say: interface $asked"
fi
