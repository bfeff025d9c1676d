# bad_arguments.awk - from the public headers, calls of each function with one bad argument.
#     awk -f m4/sites.awk -v prototypes=1 HEADER... | awk -f tests/bad_arguments.awk - HEADER...
#
# Writes statements of C. tests/test_arguments.c includes them and defines the values in capitals. An
# argument is bad in one of two ways:
#   DEAD  a dead tensor or state, also in an array and in a field of a struct of options
#   NONE  NULL
# The first input has a prototype a line: type, name and arguments, separated by tabs. The headers are
# read for the fields of structs. An argument of a type that is not known here is an error.

function trim(s) { sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s); return s }

# ---- fields of structs: fields[STRUCT] = "field field ..." of type ct_tensor * ----

FILENAME != "-" && FILENAME != "/dev/stdin" {
    gsub(/\/\*.*\*\//, "")
    if (match($0, /^typedef struct ct_[a-z0-9_]+ \{/)) {
        split($0, words, " ")
        inside = words[3]
        next
    }
    if (/^}/)
        inside = ""
    if (inside != "" && match($0, /^ *(const )?ct_(tensor|state) \*[a-z_0-9]+;/)) {
        name = $0
        sub(/;.*/, "", name)
        kind = name ~ /ct_state/ ? "STATE" : "TENSOR"
        sub(/.*\*/, "", name)
        fields[inside] = fields[inside] " " name ":" kind
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
    if (s ~ /^(const )?ct_[a-z_]+ \*[a-z_]+$/) {
        s = substr(s, index(s, "ct_") + 3)
        sub(/ .*/, "", s)
        return "A_" toupper(s)
    }
    if (s ~ /^int ([a-z]+_)?count$/) return "2"
    if (s ~ /^(int|int64_t|uint64_t|size_t|uint32_t) [a-z_]+$/) return "1"
    if (s ~ /^double [a-z_]+$/) return "0.5"
    if (s ~ /^bool [a-z_]+$/) return "false"
    if (s ~ /^const int \*/) return "(int[]){ 0, 1 }"
    if (s ~ /^const int64_t \*/) return "(int64_t[]){ 1, 1 }"
    if (s ~ /^(const )?[a-z0-9]+(_t)? (\*|[a-z]+\[)/ && s !~ /char \*/) return "MEMORY"
    if (s ~ /^FILE \*/) return "A_FILE"
    if (s ~ /^const char \*const \*/) return "NAMES"
    if (s ~ /^const char \*/) return "TEXT"
    if (s ~ /^ct_module \*const \*/) return "MODULES"
    if (s ~ /^ct_shape /) return "CT_SHAPE(2, 3)"
    if (s ~ /^ct_(dtype|device|reduction|clean|dialect|lm_cell) [a-z]+$/) return "0"
    if (s ~ /^ct_[a-z_]+_(options|call) [a-z]+$/) { sub(/ .*/, "", s); return "(" s "){ 0 }" }
    if (s ~ /^ct_[a-z_]+ [a-z_]+$/) { sub(/ .*/, "", s); return "SOME_" toupper(substr(s, 4)) }
    print "bad_arguments.awk: no value for " s > "/dev/stderr"
    failed = 1
    return "0"
}

# A call of the function with the value bad for the argument at.
function emit(kind, what, n, at, bad,    i, call) {
    call = ""
    for (i = 1; i <= n; i++)
        call = call (i > 1 ? ", " : "") (i == at ? bad : values[i])
    call = name "(" call ")"
    printf "if (call_begins(%s, \"%s\", \"%s\")) {\n", kind, name, what
    if (result == "void")
        printf "    %s;\n", call
    else
        printf "    %s result = %s;\n    (void)result;\n", result, call
    print "    call_ends();\n}"
}

# The name that an argument declares.
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
        }
    }
    exit failed
}
