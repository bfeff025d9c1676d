#!/bin/sh
# SPDX-License-Identifier: MIT
# errors_page.sh [update] - makes every mistake of docs/errors.md, and compares the message with the
# indented line that follows the block. The second block has no scope. update: prints the page with the messages of today.

. "$(dirname "$0")/lib.sh"
top=$(pwd)
make_tmp

page=$srcdir/docs/errors.md
awk '
    BEGIN {
        print "#include <math.h>\n#include <stdio.h>\n#include <string.h>\n#include <cotangent.h>"
    }
    /^```c$/ { inside = 1; n++; printf "static int mistake_%d(void)\n{\n#line 1 \"train.c\"\n", n; next }
    inside && /^```$/ { inside = 0; print "return 0; }"; next }
    inside { print }
    END {
        print "static void tell(void)\n{\n    const char *p = strstr(ct_error_message(), \": ct_\");"
        print "    puts(p ? p + 2 : \"no error\");\n    ct_error_clear();\n}"
        print "int main(void)\n{\n    ct_error_set_handler(NULL, NULL);\n    ct_scope s;"
        for (i = 1; i <= n; i++)
            printf i == 2 ? "    mistake_%d(); tell();\n" : "    s = ct_scope_begin(); mistake_%d(); tell(); (void)!ct_scope_end(s);\n", i
        print "    return 0;\n}"
    }' "$page" >"$tmp/mistakes.c"

# shellcheck disable=SC2086
"${SHELL-/bin/sh}" ./libtool --silent --tag=CC --mode=link $CC -std=c11 -Wall -Wextra -Werror \
    -Wno-unused -I"$top/include" -I"$srcdir" $CFLAGS -no-install -o "$tmp/mistakes" "$tmp/mistakes.c" \
    libcotangent.la -lm || fail "it does not compile"
cd "$tmp" || exit 99
./mistakes >messages 2>err || fail "it exits with status $?"
[ ! -s err ] || fail "it writes on stderr"
if grep -n '^no error$' messages; then
    fail "a block makes no error: see its number above"
fi

# The page with these messages: each stands after its block, on lines of up to 100 columns.
awk '
    function show(text,    word, line, i, count) {
        count = split(text, word, " ")
        line = "   "
        for (i = 1; i <= count; i++) {
            if (length(line) + 1 + length(word[i]) > 100) { print line; line = "   " }
            line = line " " word[i]
        }
        print line
    }
    NR == FNR { message[NR] = $0; next }
    old && /^(    .*)?$/ { next }
    old { old = 0; print "" }
    { print }
    /^```c$/ { inside = 1 }
    inside && /^```$/ { inside = 0; print ""; show(message[++n]); old = 1 }
' messages "$page" >page
if [ "$1" = update ]; then
    cat page
    exit 0
fi
diff "$page" page || fail "the messages of the page differ from these (run: errors_page.sh update)"
echo "$(wc -l <messages) messages are as the page shows them"
