dnl Options and compiler flags.

dnl CT_ARG_ENABLE(name, what it does): --enable-name, default no, sets $enable_name to yes or no.
AC_DEFUN([CT_ARG_ENABLE],
[AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])], [], [enable_$1=no])
AS_IF([test "x$enable_$1" != xno], [enable_$1=yes])])

dnl CT_TRY_FLAGS(flags, program, then, else): whether $CC compiles program with flags, silently.
AC_DEFUN([CT_TRY_FLAGS],
[ct_save_CFLAGS=$CFLAGS
CFLAGS="$CFLAGS $1 -Werror"
AC_COMPILE_IFELSE([$2], [ct_try=yes], [ct_try=no])
CFLAGS=$ct_save_CFLAGS
AS_IF([test $ct_try = yes], [$3], [$4])])

dnl CT_CHECK_CFLAGS(VAR, flags): appends to VAR those of the flags that the compiler takes.
AC_DEFUN([CT_CHECK_CFLAGS],
[for ct_flag in $2; do
    AC_MSG_CHECKING([whether $CC takes $ct_flag])
    CT_TRY_FLAGS([$ct_flag], [AC_LANG_PROGRAM], [$1="$$1 $ct_flag"])
    AC_MSG_RESULT([$ct_try])
done])

dnl CT_CHECK_LDFLAGS(VAR, flags): appends to VAR those of the flags that a shared link takes.
AC_DEFUN([CT_CHECK_LDFLAGS],
[for ct_flag in $2; do
    AC_MSG_CHECKING([whether the linker takes $ct_flag])
    ct_save_LDFLAGS=$LDFLAGS
    LDFLAGS="$LDFLAGS $ct_flag"
    AC_LINK_IFELSE([AC_LANG_PROGRAM], [ct_try=yes; $1="$$1 $ct_flag"], [ct_try=no])
    LDFLAGS=$ct_save_LDFLAGS
    AC_MSG_RESULT([$ct_try])
done])
