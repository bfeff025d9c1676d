# SPDX-License-Identifier: MIT
# pages.awk - the C blocks of a Markdown page, as one program that runs them in order.
#     awk -v name=PAGE -f pages.awk PAGE.md > page.c
#
# A block with a function, a type or an #include is at file scope. Another one is the body of a
# function, which runs in a scope of its own with a new parameter set. Comments of HTML hide what a
# reader knows from the text:
#
#     <!-- before            statements before those of the next block
#     <!-- run               a body of its own, for blocks that only define functions
#     <!-- file              text at file scope
#     ...
#     -->
#
# A body that raises an error, or returns another number than 0, fails; so does a page in which a
# block of another language than those of pages.sh stands. POSIX awk.

BEGIN {
    print "#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>"
    print "#include <cotangent.h>"
    print "static ct_tensor *x, *w, *b, *ids, *targets, *lengths;"
    print "static ct_params *params;\nstatic ct_optimizer *optimizer;\nstatic ct_loader *train;"
    print "static ct_state *state, *next;\nstatic ct_text *text;"
}

function at(line) { return "#line " line " \"" name "\"\n" }

# A whole block.
function piece(kind) {
    if (kind == "before")
        before = before at(start) body
    else if (kind == "file" || (kind == "shown" && file)) {
        if (before != "")
            fail(start, "a hidden block before one at file scope")
        printf "%s%s", at(start), body
    } else {
        bodies++
        line_of[bodies] = start
        printf "static int body_%d(void)\n{\n%s%s%sreturn 0;\n}\n", bodies, before, at(start), body
        before = ""
    }
}

function fail(line, what) {
    print name ":" line ": " what > "/dev/stderr"
    failed = 1
}

/^<!-- (before|run|file)$/ { kind = $2; start = FNR + 1; body = ""; file = 0; next }
kind != "" && kind != "shown" && /^-->$/ { piece(kind); kind = ""; next }
kind == "" && /^```c$/ { kind = "shown"; start = FNR + 1; body = ""; file = 0; next }
kind == "shown" && /^```$/ { piece(kind); kind = ""; next }
kind != "" { body = body $0 "\n"; if (/^([{]$|typedef |#include )/) file = 1 }

END {
    if (kind != "" || before != "")
        fail(FNR, "a block does not end")
    print "static int (*const bodies[])(void) = {"
    for (i = 1; i <= bodies; i++)
        print "body_" i ","
    print "NULL };\nstatic const int lines[] = {"
    for (i = 1; i <= bodies; i++)
        print line_of[i] ","
    print "0 };"
    print "int main(void)\n{\n    for (int i = 0; bodies[i]; i++) {\n        ct_scope s = ct_scope_begin();"
    print "        params = ct_params_new((ct_params_options){ .seed = 1 });"
    print "        int status = bodies[i]();"
    print "        if (ct_scope_end(s) != CT_OK || status != 0) {"
    print "            fprintf(stderr, \"" name ":%d: this block fails (%d)\\n\", lines[i], status);"
    print "            return 1;\n        }\n    }\n    printf(\"%d bodies ran\\n\", " bodies + 0 ");\n    return 0;\n}"
    exit failed
}
