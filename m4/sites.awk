# SPDX-License-Identifier: MIT
# sites.awk - from the public headers, a header of wrappers that note the user's call.
#     awk -f sites.awk HEADER... > cotangent_sites.h
#     awk -v names=1 -f sites.awk HEADER...             (only the names of all functions)
#     awk -v prototypes=1 -f sites.awk HEADER...        (a line each: type, name, arguments, by tabs)
#
# For each prototype
#     ct_tensor *ct_add(ct_tensor *a, ct_tensor *b);
# there is a function, and after all functions (which thus call the real ones) a macro:
#     static inline ct_tensor *ct_add_at_(const char *where, ct_tensor *a, ct_tensor *b)
#     {
#         const char **site = ct_site(), *outer = *site;
#         ct_tensor *result;
#
#         *site = where;
#         result = ct_add(a, b);
#         *site = outer;
#         return result;
#     }
#     #define ct_add(...) ct_add_at_(CT_HERE ": ct_add", __VA_ARGS__)
# The site is that of the enclosing call again when the function returns. So a function of the user
# that the library calls leaves the site of the library's function as it was.
#
# Which functions are wrapped: those that can raise an error. By rule these are the functions that
#   - return a ct_status, a ct_scope or a pointer other than const char *, or
#   - take a ct_tensor or a ct_state.
# BEGIN lists the exceptions, both ways. Static functions, variadic functions and names that a
# header already defines as macros are left out. POSIX awk; a prototype that cannot be wrapped is an
# error.

BEGIN {
    split("ct_build_print ct_capture_free ct_device_from_name ct_generator_stream ct_lm_free " \
          "ct_lm_print ct_loader_next ct_loader_step ct_loader_tokens ct_node_input_count " \
          "ct_node_input_shape ct_node_needs_grad " \
          "ct_optimizer_reset ct_param_set_init ct_params_free ct_params_freeze ct_params_print " \
          "ct_params_train ct_params_zero_grad ct_philox ct_print_text ct_random_below " \
          "ct_random_u32 ct_random_uniform ct_sha256_hex ct_shuffle ct_vocab_encode " \
          "ct_world_shard", list_, " ")
    for (i_ in list_)
        exception[list_[i_]] = "wrapped"
    split("ct_error ct_site ct_plan_run", list_, " ") # of the thread's state; may not allocate
    for (i_ in list_)
        exception[list_[i_]] = "plain"
}

# True if the function of that name, return type and argument list is wrapped.
function is_wrapped(name, type, args) {
    if (name in exception)
        return exception[name] == "wrapped"
    return type ~ /^(ct_status|ct_scope)$/ || (type ~ /\*$/ && type !~ /^const char ?\*$/) ||
        args ~ /(^|[^A-Za-z_0-9])ct_(tensor|state)([^A-Za-z_0-9]|$)/
}

function trim(s) { gsub(/[ \t\n]+/, " ", s); sub(/^ /, "", s); sub(/ $/, "", s); return s }

function fail(message) {
    printf "sites.awk: %s: %s\n", FILENAME_of_statement, message > "/dev/stderr"
    failed = 1
}

# Name of the argument that s declares, or "".
function arg_name(s,    t) {
    if (match(s, /\( *\* *(const )?[A-Za-z_][A-Za-z_0-9]* *[[)]/)) {   # void (*fn)(void *)
        t = substr(s, RSTART, RLENGTH)
        gsub(/[(*) []|const /, "", t)
        return t
    }
    while (sub(/ *\[[^][]*\] *$/, "", s))                             # const int64_t dims[]
        ;
    if (!match(s, /[A-Za-z_][A-Za-z_0-9]*$/) || RSTART == 1)
        return ""
    t = substr(s, RSTART)
    if (t ~ /^(const|void|char|short|int|long|float|double|bool|signed|unsigned|ct_.*|.*_t)$/)
        return ""                                                       # a type alone
    return t
}

# Splits s at its top-level commas into args[1..n]; returns n.
function split_args(s, args,    i, c, depth, n) {
    n = 1
    args[1] = ""
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        if (c == "(" || c == "[")
            depth++
        else if (c == ")" || c == "]")
            depth--
        if (c == "," && depth == 0)
            args[++n] = ""
        else
            args[n] = args[n] c
    }
    return n
}

# Position of the parenthesis that closes the one at position open of s.
function closing(s, open,    i, c, depth) {
    for (i = open; i <= length(s); i++) {
        c = substr(s, i, 1)
        if (c == "(")
            depth++
        else if (c == ")" && --depth == 0)
            return i
    }
    return 0
}

# One declaration at file scope, without its semicolon.
function statement(s,    name, type, args, tail, list, n, i, passed, a, close_at, warn) {
    s = trim(s)
    if (s ~ /^(typedef|static|template|extern "C|_Static_assert)/ || s ~ /[{}]/)
        return
    if (!match(s, /ct_[a-z0-9_]+ ?\(/))
        return
    type = trim(substr(s, 1, RSTART - 1))
    name = substr(s, RSTART, RLENGTH)
    sub(/ ?\($/, "", name)
    close_at = closing(s, RSTART + RLENGTH - 1)
    declared[name] = 1
    if (names) {
        print name
        return
    }
    if (close_at == 0)
        return fail("no closing parenthesis: " s)
    args = trim(substr(s, RSTART + RLENGTH, close_at - RSTART - RLENGTH))
    tail = substr(s, close_at + 1)
    sub(/^extern /, "", type)
    warn = (type " " tail) ~ /CT_WARN_UNUSED/ ? "CT_WARN_UNUSED " : ""
    gsub(/CT_WARN_UNUSED/, "", type)
    type = trim(type)
    if (prototypes) {
        print type "\t" name "\t" args
        return
    }
    if (args ~ /\.\.\.$/ || !is_wrapped(name, type, args))
        return
    if (type !~ /^[A-Za-z_][A-Za-z_0-9 *]*$/)
        return fail("cannot read the type of " name ": " s)
    if (args == "")
        return fail(name " has no prototype: write (void)")
    passed = ""
    if (args == "void")
        n = 0
    else
        n = split_args(args, list)
    for (i = 1; i <= n; i++) {
        a = arg_name(trim(list[i]))
        if (a == "")
            return fail("argument " i " of " name " has no name")
        passed = passed (i > 1 ? ", " : "") a
    }
    order[++count] = name
    header[name] = FILENAME
    arity[name] = n
    inline[name] = wrapper(name, type, warn, n ? ", " args : "", name "(" passed ")")
}

# The text of a wrapper.
function wrapper(name, type, warn, args, call,    space, is_void) {
    space = type ~ /\*$/ ? "" : " "
    is_void = type == "void"
    return "static inline CT_SITE_UNUSED\n" warn type space name "_at_(const char *ct_where_" args ")\n{\n" \
        "    const char **ct_site_ = ct_site(), *ct_outer_ = *ct_site_;\n" \
        (is_void ? "" : "    " type space "ct_result_;\n") \
        "\n    *ct_site_ = ct_where_;\n" \
        "    " (is_void ? "" : "ct_result_ = ") call ";\n" \
        "    *ct_site_ = ct_outer_;\n" \
        (is_void ? "" : "    return ct_result_;\n") "}\n"
}

FNR == 1 { text = ""; depth = 0; in_comment = 0; in_directive = 0 }

{
    line = $0
    sub(/\r$/, "", line)
    out = ""
    while (line != "") {                            # comments
        if (in_comment) {
            if (!(i = index(line, "*/")))
                break
            line = substr(line, i + 2)
            in_comment = 0
            out = out " "
        } else {
            i = index(line, "/*")
            j = index(line, "//")
            if (j && (!i || j < i)) {
                out = out substr(line, 1, j - 1)
                break
            }
            if (!i) {
                out = out line
                break
            }
            out = out substr(line, 1, i - 1)
            line = substr(line, i + 2)
            in_comment = 1
        }
    }
    if (in_directive || out ~ /^[ \t]*#/) {         # directives
        if (match(out, /^[ \t]*#[ \t]*define[ \t]+ct_[a-z0-9_]+/)) {
            name = substr(out, RSTART, RLENGTH)
            sub(/.*[ \t]/, "", name)
            is_macro[name] = 1
        }
        in_directive = out ~ /\\$/
        next
    }
    n = length(out)
    for (i = 1; i <= n; i++) {
        c = substr(out, i, 1)
        if (c == "{") {
            if (depth == 0 && text ~ /extern[ \t\n]+"C([+][+])?"[ \t\n]*$/) {
                text = ""
                continue
            }
            if (depth++ == 0)
                body = text ~ /\)[ \t\n]*$/         # of an inline function
        } else if (c == "}") {
            if (depth == 0)                         # the end of extern "C"
                text = ""
            else if (--depth == 0)
                text = body ? "" : text "{}"
        } else if (depth == 0 && c == ";") {
            FILENAME_of_statement = FILENAME
            statement(text)
            text = ""
        } else if (depth == 0)
            text = text c
    }
    if (depth == 0)
        text = text "\n"
}

END {
    if (failed || names || prototypes)
        exit failed
    print "/* cotangent_sites.h - notes file, line and function of each call, for error messages."
    print " * Made from the public headers when the library was built; included last by <cotangent.h>.\n */"
    print "#ifndef COTANGENT_SITES_H\n#define COTANGENT_SITES_H\n"
    print "#include <cotangent/tensor/status.h>\n"
    print "#if defined(__GNUC__)\n#define CT_SITE_UNUSED __attribute__((unused))"
    print "#else\n#define CT_SITE_UNUSED\n#endif\n"
    print "#ifdef __cplusplus\nextern \"C\" {\n#endif\n"
    for (k = 1; k <= count; k++)
        if (!(order[k] in is_macro)) {
            if (header[order[k]] != last)
                print "/* ---- " header[order[k]] " ---- */\n"
            last = header[order[k]]
            print inline[order[k]]
        }
    for (k = 1; k <= count; k++)
        if (!(order[k] in is_macro))
            print "#define " order[k] (arity[order[k]] ? "(...) " : "() ") order[k] \
                "_at_(CT_HERE \": " order[k] "\"" (arity[order[k]] ? ", __VA_ARGS__)" : ")")
    if ("ct_raise" in declared)
        print "#define ct_raise(...) ct_raise_at(CT_HERE, __VA_ARGS__)"
    print "\n#ifdef __cplusplus\n}\n#endif\n\n#endif"
}
