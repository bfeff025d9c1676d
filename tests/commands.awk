# SPDX-License-Identifier: MIT
# commands.awk - the blocks of commands of a Markdown page, one line for each command:
#     awk -f commands.awk PAGE.md
#     LINE begin FOLDER         a block begins; its commands run in FOLDER of the tree
#     LINE run COMMAND
#     LINE test FILE COMMAND    a line "$ examples/..." of a page with a comment <!-- commands: FILE -->
#
# A block of commands is a block ```sh, or lines indented by four columns that begin with a program. Of a
# block whose first line begins with "$ ", only such lines are commands; the rest is output. A comment
# "# ..." ends a command. Commands of a page run in the top folder, or in that of a comment
# <!-- commands in FOLDER -->. POSIX awk.

function is_program(s) {
    while (sub(/^[A-Za-z_]+=("[^"]*"|\047[^\047]*\047|[^ "\047]*) /, "", s))
        ;
    return s ~ /^(apt-get|autoreconf|cc|cotangent|\$|make|mkdir|mpirun[.a-z]*|python3|printf|sh|sudo|time cotangent|valgrind) / ||
        s ~ /^(\.\/|\.\.\/|bench\/|examples\/|packaging\/|tests\/)[a-z]/
}

function command(s) {
    sub(/^    /, "", s)
    sub(/   *#.*/, "", s)
    if (prompt && !sub(/^\$ /, "", s) || s == "")
        return
    if (prompt && test != "" && s ~ /^examples\//)
        print FNR, "test", test, s
    else
        print FNR, "run", s
}

function begin(s) { prompt = s ~ /^    \$ /; print FNR, "begin", folder }

BEGIN { folder = "." }
/^<!-- commands: .* -->$/ { test = $3; next }
/^<!-- commands in .* -->$/ { folder = $4; next }
/^<!--/ { comment = !/-->$/; next }
comment { if (/^-->/) comment = 0; next }
/^```/ {
    shell = !fence && /^```sh$/
    fence = !fence
    if (shell)
        begin("")
    next
}
fence { if (shell) command($0); next }
/^    [^ ]/ {
    if (!block) {
        block = is_program(substr($0, 5)) ? "commands" : "output"
        if (block == "commands")
            begin($0)
    }
    if (block == "commands")
        command($0)
    next
}
/^    / || !NF { next }
{ block = "" }
