dnl Builds the extension with cargo, for phpize and PIE (`pie install`).

PHP_ARG_ENABLE([exam_stream],
  [whether to enable exam_stream],
  [AS_HELP_STRING([--enable-exam_stream], [Enable exam_stream])],
  [yes])

if test "$PHP_EXAM_STREAM" != "no"; then
  AC_PATH_PROG([CARGO], [cargo], [no], [$PATH:$HOME/.cargo/bin])
  if test "$CARGO" = "no"; then
    AC_MSG_ERROR([exam_stream is written in Rust: install Rust 1.88 or later (https://rustup.rs)])
  fi
  AC_CHECK_PROG([HAVE_CLANG], [clang], [yes], [no])
  if test "$HAVE_CLANG" = "no"; then
    AC_MSG_ERROR([exam_stream needs clang and libclang to read PHP's headers: install libclang-dev and clang])
  fi

  dnl PHP_ADD_MAKEFILE_FRAGMENT puts our rule beside those of phpize.
  PHP_MODULES="$PHP_MODULES \$(phplibdir)/exam_stream.so"
  PHP_SUBST([CARGO])
  PHP_SUBST([PHP_MODULES])
  PHP_ADD_MAKEFILE_FRAGMENT([$ext_srcdir/Makefile.frag])
fi
