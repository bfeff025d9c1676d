# SPDX-License-Identifier: MIT
# bad_arguments.awk - writes calls of each public function with one bad argument.
#     awk -f m4/sites.awk -v prototypes=1 HEADER... | awk -f tests/bad_arguments.awk - HEADER...
#
# Writes statements of C. tests/test_arguments.c includes them and defines the values in capitals. An
# argument is bad in one of two ways:
#   DEAD  a dead tensor or state, also in an array and in a field of a struct of options
#   NONE  NULL
#   EDGE  a number or a size at the edge of its type, an enumerator that does not exist, a number that is
#         not finite; also in an array, in a shape and in a field of a struct
#   RANK  a shape of 9 axes, or of -1
# The first input has a prototype a line: type, name and arguments, separated by tabs. The headers are
# read for the fields of structs. An argument of a type that is not known here is an error.

function trim(s) { sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s); return s }

# ---- fields of structs: fields[STRUCT] = "field field ..." of type ct_tensor *, numbers[STRUCT] the
# same of a type of numbers ----

FILENAME != "-" && FILENAME != "/dev/stdin" {
    gsub(/\/\*.*\*\//, "")
    if (match($0, /^typedef struct ct_[a-z0-9_]+ \{/)) {
        split($0, words, " ")
        inside = words[3]
        next
    }
    if (/^}/)
        inside = ""
    if (match($0, /^typedef ct_[a-z_]+ ct_[a-z_]+;/)) { # another name of a struct
        split(substr($0, 1, RLENGTH - 1), words, " ")
        fields[words[3]] = fields[words[2]]
        numbers[words[3]] = numbers[words[2]]
    }
    if (inside != "" && match($0, /^ *(const )?ct_(tensor|state) \*[a-z_0-9]+;/)) {
        name = $0
        sub(/;.*/, "", name)
        kind = name ~ /ct_state/ ? "STATE" : "TENSOR"
        sub(/.*\*/, "", name)
        fields[inside] = fields[inside] " " name ":" kind
    }
    if (inside != "" && match($0, /^ *(int|int64_t|double|ct_dtype|ct_device|ct_reduction|ct_dialect|ct_nonlinearity|ct_lm_cell|ct_clean) [a-z_0-9, ]+;/)) {
        name = trim(substr($0, RSTART, RLENGTH - 1))
        kind = name
        sub(/ .*/, "", kind)
        sub(/^[^ ]* /, "", name)
        gsub(/ /, "", name)
        n_names = split(name, words, ",")
        for (k = 1; k <= n_names; k++)
            numbers[inside] = numbers[inside] " " words[k] ":" kind
    }
    next
}

{ prototype[++count] = $0 }

# ---- values ----

# Splits the arguments at their commas outside parentheses.
function split_arguments(s, list,    i, c, depth, n) {
    n = 1
    list[1] = ""
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        if (c == "(" || c == "[") depth++
        if (c == ")" || c == "]") depth--
        if (c == "," && !depth) list[++n] = ""
        else list[n] = list[n] c
    }
    return n
}

# A valid value for an argument; a type that is not known ends the program.
function value(s) {
    if (s ~ /\(\*/) return "FUNCTION_" toupper(argument(s))
    if (s ~ /^(const )?ct_tensor \*[a-z_0-9]+$/) return "LIVE_TENSOR"
    if (s ~ /^(const )?ct_state \*[a-z_0-9]+$/) return "LIVE_STATE"
    if (s ~ /^ct_tensor \*const \*/) return "LIVE_TENSORS"
    if (s ~ /^ct_tensor \*\*/) return "TENSORS_OUT"
    if (s ~ /^ct_state \*\*/) return "STATE_OUT"
    if (s ~ /^ct_dataset \*\*/) return "DATASETS_OUT"
    if (s ~ /^(const )?ct_[a-z_]+ \*[a-z_]+$/) {
        s = substr(s, index(s, "ct_") + 3)
        sub(/ .*/, "", s)
        return "A_" toupper(s)
    }
    if (s ~ /^struct DLManagedTensor/) return "MEMORY"
    if (s ~ /^int ([a-z]+_)?count$/) return "2"
    if (s ~ /^(int|int64_t|uint64_t|size_t|uint32_t) [a-z_0-9]+$/) return "1"
    if (s ~ /^double [a-z_]+$/) return "0.5"
    if (s ~ /^bool [a-z_]+$/) return "false"
    if (s ~ /^const int \*/) return "(int[]){ 0, 1 }"
    if (s ~ /^const int64_t \*/) return "(int64_t[]){ 1, 1 }"
    if (s ~ /^(const )?[a-z0-9]+(_t)? (\*|[a-z]+\[)/ && s !~ /char \*/) return "MEMORY"
    if (s ~ /^FILE \*/) return "A_FILE"
    if (s ~ /^const char \*const \*/) return "NAMES"
    if (s ~ /^const char \*/) return "TEXT"
    if (s ~ /^ct_module \*const \*/) return "MODULES"
    if (s ~ /^ct_loader \*const \*/) return "LOADERS"
    if (s ~ /^const ct_metric \*const \*/) return "METRICS"
    if (s ~ /^ct_shape /) return "CT_SHAPE(2, 3)"
    if (s ~ /^ct_(dtype|device|reduction|clean|dialect|lm_cell) [a-z]+$/) return "0"
    if (s ~ /^ct_[a-z_]+_(options|call) [a-z]+$/) { sub(/ .*/, "", s); return "(" s "){ 0 }" }
    if (s ~ /^ct_[a-z_]+ [a-z_]+$/) { sub(/ .*/, "", s); return "SOME_" toupper(substr(s, 4)) }
    print "bad_arguments.awk: no value for " s > "/dev/stderr"
    failed = 1
    return "0"
}

# Writes a call of the function with the value bad for argument number at, after the statement
# before.
function emit(kind, what, n, at, bad, before,    i, call) {
    call = ""
    for (i = 1; i <= n; i++)
        call = call (i > 1 ? ", " : "") (i == at ? bad : values[i])
    call = name "(" call ")"
    printf "if (call_begins(%s, \"%s\", \"%s\")) {\n%s", kind, name, what, before
    if (result == "void")
        printf "    %s;\n", call
    else
        printf "    %s result = %s;\n    USE(result);\n", result, call
    print "    call_ends();\n}"
}

# ---- numbers at the edges ----

# Fills edge with the edges of a type. Returns their number.
function edges_of(type) {
    if (type == "int")
        return split("INT_MIN -1 0 INT_MAX", edge, " ")
    if (type == "int64_t")
        return split("INT64_MIN -1 0 INT32_MAX INT64_C(1)<<40 INT64_C(1)<<62 INT64_MAX", edge, " ")
    if (type == "uint64_t")
        return split("0 UINT64_MAX", edge, " ")
    if (type == "double")
        return split("NAN -INFINITY INFINITY -1e308 1e308 1e18 0", edge, " ")
    if (type ~ /^ct_(dtype|device|reduction|clean|dialect|lm_cell|nonlinearity)$/)
        return split("-1 99 INT_MAX", edge, " ")
    return 0
}

# True if an argument of the function is an array, so that its counts must not be larger.
function has_array(n,    i) {
    for (i = 1; i <= n; i++)
        if (list[i] ~ /[*[]/ && list[i] !~ /^(const )?ct_[a-z_]+ \*[a-z_]+$/)
            return 1
    return 0
}

function emit_edges(n, i,    type, word, k, m, f, half, field) {
    type = list[i]
    sub(/^const /, "", type)
    word = argument(list[i])
    if (type ~ /^ct_shape /) {
        m = split("{INT64_MAX,INT64_MAX} {INT64_MIN,3} {0,INT64_MAX} {INT64_C(1)<<31,INT64_C(1)<<31} " \
                  "{-1,-1} {2,-1} {INT64_C(1)<<40,0} {-2,3}", edge, " ")
        for (k = 1; k <= m; k++)
            emit("EDGE", word " " edge[k], n, i, "(ct_shape){ .rank = 2, .dim = " edge[k] " }")
        emit("RANK", word " of 9 axes", n, i, "(ct_shape){ .rank = 9, .dim = { 1, 1, 1, 1, 1, 1, 1, 1 } }")
        emit("RANK", word " of -1 axes", n, i, "(ct_shape){ .rank = -1 }")
        return
    }
    if (type ~ /^(int|int64_t|double) \*[a-z_]+$/ && list[i] ~ /^const /) {
        sub(/ .*/, "", type)
        m = edges_of(type)
        for (k = 1; k <= m; k++) {
            emit("EDGE", word "[0] " edge[k], n, i, "(" type "[]){ " edge[k] ", 1 }")
            emit("EDGE", word "[] " edge[k], n, i, "(" type "[]){ " edge[k] ", " edge[k] " }")
        }
        return
    }
    if ((type ~ /\*/ && list[i] !~ /^const /) || type ~ /\*const \*/)
        return
    sub(/ .*/, "", type)
    m = edges_of(type)
    for (k = 1; k <= m; k++)
        if (!(word ~ /^n$|rank$|count$|size$|capacity$/ && edge[k] ~ /MAX|<</ && has_array(n)))
            emit("EDGE", word " " edge[k], n, i, "(" type ")(" edge[k] ")")
    if (m || !(type in numbers))
        return
    m = split(trim(numbers[type]), field, " ")
    for (f = 1; f <= m; f++) {
        split(field[f], half, ":")
        last = edges_of(half[2])
        for (k = 1; k <= last; k++)
            if (!(half[1] ~ /_count$/ && edge[k] ~ /MAX/)) # of an array
                emit("EDGE", word "." half[1] " " edge[k], n, i, (list[i] ~ /\*/ ? "" : "*") "given", \
                     "    " type " given[2] = { GIVEN_" toupper(substr(type, 4)) " };\n\n    given->" \
                     half[1] " = (" half[2] ")(" edge[k] ");\n")
    }
}

# Returns the name of an argument.
function argument(s) {
    if (match(s, /\(\*[a-z_]+\)/))
        return substr(s, RSTART + 2, RLENGTH - 3)
    sub(/\[[^]]*\]$/, "", s)
    sub(/.*[ *]/, "", s)
    return s
}

END {
    for (p = 1; p <= count; p++) {
        split(prototype[p], part, "\t")
        result = part[1]
        name = part[2]
        if (part[3] == "void" || part[3] ~ /\.\.\.$/)
            continue
        n = split_arguments(part[3], list)
        for (i = 1; i <= n; i++) {
            list[i] = trim(list[i])
            values[i] = value(list[i])
        }
        for (i = 1; i <= n; i++) {
            word = argument(list[i])
            type = list[i]
            sub(/^const /, "", type)
            sub(/ .*/, "", type)
            if (values[i] == "LIVE_TENSOR")
                emit("DEAD", word, n, i, "DEAD_TENSOR")
            else if (values[i] == "LIVE_STATE")
                emit("DEAD", word, n, i, "DEAD_STATE")
            else if (values[i] == "LIVE_TENSORS") {
                emit("DEAD", word "[0]", n, i, "(ct_tensor *[]){ DEAD_TENSOR, LIVE_TENSOR }")
                emit("DEAD", word "[1]", n, i, "(ct_tensor *[]){ LIVE_TENSOR, DEAD_TENSOR }")
            } else if (type in fields) {
                k = split(trim(fields[type]), field, " ")
                for (f = 1; f <= k; f++) {
                    split(field[f], half, ":")
                    emit("DEAD", word "." half[1], n, i, (list[i] ~ /\*/ ? "&" : "") \
                         "(" type "){ ." half[1] " = DEAD_" half[2] " }")
                }
            }
            if (list[i] ~ /[*[]/ || list[i] ~ /_(function|hook|handler) [a-z]+$/)
                emit("NONE", word, n, i, "NULL")
            emit_edges(n, i)
        }
    }
    exit failed
}
