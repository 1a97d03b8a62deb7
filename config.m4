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
  dnl libclang (apt: libclang-dev), which reads PHP's headers, is looked for by the build itself.
  PHP_MODULES="$PHP_MODULES \$(phplibdir)/exam_stream.so"
  PHP_SUBST([CARGO])
  PHP_SUBST([PHP_MODULES])
  PHP_ADD_MAKEFILE_FRAGMENT([$abs_srcdir/Makefile.frag], [$abs_srcdir], [$abs_builddir])
fi
