#!/bin/sh
# messages.sh - fails if the text of a message has changed. Tests pin a message's status, function and
# one key word; the full texts are in tests/messages.txt, sorted, one "STATUS text" a line.
#
#     messages.sh           compares what the test programs have recorded with that file
#     messages.sh update    rewrites that file (make update-messages)
#
# Each test program of a whole run on the CPU records to $COTANGENT_TEST_MESSAGES/PROGRAM.txt
# (tests/harness.c). A program that has not run leaves its messages out: then only messages that the
# file has not are faults.

LC_ALL=C
export LC_ALL
srcdir=${srcdir-.}
golden=$srcdir/tests/messages.txt
folder=$COTANGENT_TEST_MESSAGES

if [ -n "$COTANGENT_TEST_FULL" ] || [ -n "$COTANGENT_TEST_DEVICE" ]; then
    echo 'messages.sh: skipped: messages are recorded on the CPU by the usual number of cases'
    exit 77
fi
if [ -z "$(ls "$folder" 2>/dev/null)" ]; then
    echo 'messages.sh: skipped: no test program has recorded its messages'
    exit 77
fi

# What depends on the machine or on chance becomes a word; messages that only some machines give are
# left out: those of a processor, of an installed plug-in, of a user who is not root, of a build with
# --enable-debug.
normalise()
{
    sed -e '/products in bf16/d' -e '/no plug-in /d' -e '/Permission denied/d' \
        -e '/is used after its scope ended/d' \
        -e 's,[^ ]*/cotangent-data-[A-Za-z0-9]*,DIR,g' \
        -e 's/[^ ("]*\.[ch]:[0-9][0-9]*/FILE:LINE/g' \
        -e 's/-\{0,1\}[0-9][0-9]*\.[0-9]\{5,\}\(e[-+][0-9]*\)\{0,1\}/NUMBER/g' \
        -e "s/payload's SHA-256 is [0-9a-f]*, the metadata's [0-9a-f]*/payload's SHA-256 is SHA256, the metadata's SHA256/" \
        -e 's/\(is not JSON\): .*/\1: .../' | sort -u
}

missing= # some known messages may be
absent=  # a program
files=
# shellcheck disable=SC2154 # given by make
for program in $check_programs; do
    name=${program#tests/}
    case $name in # of devices that only some machines have
    test_devices | test_cuda_kernels) continue ;;
    esac
    files="$files $folder/$name.txt"
    if [ ! -f "$folder/$name.txt" ]; then
        echo "messages.sh: $name has not run"
        missing=yes
        absent=yes
    elif grep -q '^:test-result: FAIL' "$program.trs" 2>/dev/null; then
        echo "messages.sh: $name failed, and may have stopped early"
        missing=yes
    fi
done
case $CFLAGS in
*-fsanitize=*)
    echo 'messages.sh: a sanitizer leaves some cases out'
    missing=yes
    ;;
esac

work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2086 # the names hold no spaces
cat $files 2>/dev/null | normalise >"$work/now"

if [ "$1" = update ]; then
    if [ -n "$absent" ]; then
        echo 'messages.sh: messages.txt is left as it is: it takes all programs'
        exit 1
    fi
    cmp -s "$work/now" "$golden" || cp "$work/now" "$golden"
    echo "messages.sh: $(wc -l <"$golden") messages"
    exit 0
fi

if [ -n "$missing" ]; then # a message that is known may be missing
    comm -12 "$golden" "$work/now" >"$work/known"
else
    cp "$golden" "$work/known"
fi
if ! (cd "$work" && diff -u known now); then
    echo 'messages.sh: a message has another text than in tests/messages.txt (-);'
    echo 'if the new text (+) is meant, run make update-messages'
    exit 1
fi
