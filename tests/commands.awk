# SPDX-License-Identifier: MIT
# commands.awk - the blocks of commands of a Markdown page, one line for each command:
#     awk -f commands.awk PAGE.md
#     LINE run COMMAND
#     LINE not COMMAND          the block is after a comment <!-- not run: REASON -->
#     LINE test FILE COMMAND    a line "$ examples/..." of a page with a comment <!-- commands: FILE -->
#
# A block of commands is a block ```sh, or lines indented by four columns that begin with a program. Of a
# block whose first line begins with "$ ", only such lines are commands; the rest is output. Lines of
# Python count as commands that are not run. A comment "# ..." ends a command. POSIX awk.

function is_program(s) {
    while (sub(/^[A-Za-z_]+=("[^"]*"|\047[^\047]*\047|[^ "\047]*) /, "", s))
        ;
    return s ~ /^(autoreconf|cc|cotangent|\$|make|mkdir|mpirun|python3|printf|sh|time cotangent) / ||
        s ~ /^(\.\/|\.\.\/|bench\/|examples\/|packaging\/|tests\/)[a-z]/ ||
        s ~ /^(from|import) [a-z]|^[a-z.]+ = [a-z]+\.|^[a-z]+\.load_/
}

function command(s) {
    sub(/^    /, "", s)
    sub(/   *#.*/, "", s)
    if (prompt && !sub(/^\$ /, "", s) || s == "")
        return
    if (reason != "")
        print FNR, "not", s
    else if (prompt && test != "" && s ~ /^examples\//)
        print FNR, "test", test, s
    else
        print FNR, "run", s
}

function begin(s) { prompt = s ~ /^    \$ /; reason = next_reason; next_reason = "" }

/^<!-- commands: .* -->$/ { test = $3; next }
/^<!-- not run: .+ -->$/ { next_reason = $0; next }
/^<!--/ { comment = !/-->$/; next }
comment { if (/^-->/) comment = 0; next }
/^```/ { if (!fence) { shell = /^```sh$/; fence = 1; begin("") } else fence = shell = 0; next }
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
{
    block = ""
    if (next_reason != "")
        print FNR, "bad", "a reason without a block of commands"
    next_reason = ""
}
