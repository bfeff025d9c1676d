#!/bin/sh
# SPDX-License-Identifier: MIT
# messages.sh - fails if the text of a message has changed. Tests pin a message's status, function and
# one key word; the full texts are in tests/messages.txt, sorted, one "STATUS text" a line.
#
#     messages.sh           compares what the test programs have recorded with that file
#     messages.sh update    rewrites that file (make update-messages)
#
# Each test program of a whole run on the CPU records to $COTANGENT_TEST_MESSAGES/PROGRAM.txt
# (tests/harness.c). If a program has not run, its messages are absent: then only messages that are
# not in the file are faults.

. "$(dirname "$0")/lib.sh"
golden=$srcdir/tests/messages.txt
folder=$COTANGENT_TEST_MESSAGES

if [ -n "$COTANGENT_TEST_FULL" ] || [ -n "$COTANGENT_TEST_DEVICE" ]; then
    skip 'messages are recorded on the CPU by the usual number of cases'
fi
if [ -z "$(ls "$folder" 2>/dev/null)" ]; then
    skip 'no test program has recorded its messages'
fi

# Replaces text that depends on the machine or on chance by a word, and leaves out messages that
# only some machines give: those of a processor, of an installed plug-in, of a user who is not root.
normalise()
{
    sed -e '/bf16 products/d' -e '/no plug-in /d' -e '/Permission denied/d' \
        -e '/is used after its scope ended/d' \
        -e 's,[^ ]*/cotangent-data-[A-Za-z0-9]*,DIR,g' \
        -e 's,[^ ]*/cotangent-export-[A-Za-z0-9]*,DIR,g' \
        -e 's/[^ ("]*\.[ch]:[0-9][0-9]*/FILE:LINE/g' \
        -e 's/-\{0,1\}[0-9][0-9]*\.[0-9]\{5,\}\(e[-+][0-9]*\)\{0,1\}/NUMBER/g' \
        -e "s/its SHA-256 is [0-9a-f]*; the metadata say [0-9a-f]*/its SHA-256 is SHA256; the metadata say SHA256/" \
        -e '/another run: version/s/[0-9][0-9.]*/VERSION/g' \
        -e 's/\(rocessor is "\)[^"]*/\1PROCESSOR/' \
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
        say "$name has not run"
        missing=yes
        absent=yes
    elif grep -q '^:test-result: FAIL' "$program.trs" 2>/dev/null; then
        say "$name failed, and may have stopped early"
        missing=yes
    fi
done
case $CFLAGS in
*-fsanitize=*)
    say 'a sanitizer leaves some cases out'
    missing=yes
    ;;
esac

make_tmp
# shellcheck disable=SC2086 # the names hold no spaces
cat $files 2>/dev/null | normalise >"$tmp/now"

if [ "$1" = update ]; then
    if [ -n "$absent" ]; then
        say 'messages.txt is left as it is: it takes all programs'
        exit 1
    fi
    cmp -s "$tmp/now" "$golden" || cp "$tmp/now" "$golden"
    say "$(wc -l <"$golden") messages"
    exit 0
fi

if [ -n "$missing" ]; then # a message that is known may be missing
    comm -12 "$golden" "$tmp/now" >"$tmp/known"
else
    cp "$golden" "$tmp/known"
fi
if ! (cd "$tmp" && diff -u known now); then
    say 'a message has another text than in tests/messages.txt (-);'
    echo 'if the new text (+) is meant, run make update-messages'
    exit 1
fi
