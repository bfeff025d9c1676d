#!/bin/sh
# SPDX-License-Identifier: MIT
# unload.sh - a program closes a plug-in that uses the library while a thread that used it lives. One
# plug-in is linked with the shared library, which stays loaded; the other contains the static one,
# which is unloaded. The first also opens beside a module that takes room for thread-local variables.

. "$(dirname "$0")/lib.sh"
program=tests/unload

[ -f tests/.libs/unload_plugin.so ] || skip 'the shared library was not built'
make_tmp
for plugin in unload_plugin unload_static; do
    run "$build/tests/.libs/$plugin.so"
    [ $status -eq 0 ] || fail "$plugin: status $status"
    prints survived "$plugin"
done
run "$build/tests/.libs/unload_plugin.so" "$build/tests/.libs/unload_room.so"
[ $status -eq 0 ] || fail "after unload_room: status $status"
prints survived 'after unload_room'
