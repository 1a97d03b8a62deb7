#!/bin/sh
# The plugin in a real Moodle: try it, or test it.
#
#   run.sh packages                  the Debian packages the rest needs
#   run.sh find                      where Moodle is; fetches it if it is nowhere
#   run.sh moodle                    serve the course Maths competition until Ctrl-C
#   run.sh test [phpunit|browser] [full]
#                                    PHPUnit, then the browser tests, or one of them (full: the
#                                    long ones too, and core's own quiz suite with and without us)
#   run.sh browser [full|FILE...]    the browser tests alone, or some of them
#   run.sh bench-door                what one request costs, against core's autosave
#   run.sh bench-board               what twenty live boards cost, with 2,000 students
#   run.sh phpunit [arguments]       the plugin's PHPUnit suite alone
#   run.sh amd                       build and lint moodle-plugin/amd with Moodle's own grunt
#
# --require-moodle, before the command, makes a missing Moodle a failure instead
# of a skip. See env.sh for the environment variables.
set -u
. "$(dirname -- "$0")/env.sh"

ADMIN_PASSWORD=Admin-2026
PASSWORD=Maths-2026
required=no
[ "${1:-}" = --require-moodle ] && { required=yes; shift; }
command=${1:-}; [ $# -gt 0 ] && shift
[ "$command" = find ] && { es_find_moodle; exit; }
[ "$command" = packages ] && { es_packages | tr -s ' ' '\n'; exit 0; }

# One loud line where there is no Moodle.
need_moodle() {
    moodle=$(es_find_moodle) && return
    skip "no Moodle is to be had: set MOODLE_DIR to a Moodle source tree"
}

skip() {
    echo "SKIPPED: the Moodle suites, because $1"
    [ "$required" = yes ] && exit 1
    exit 0
}

# Moodle is one thing, what serves it another.
need_tools() {
    missing=
    PATH=$PATH:/usr/sbin
    for tool in mariadbd mariadb-install-db nginx redis-server php node npm setpriv ps; do
        command -v "$tool" >/dev/null || missing="$missing $tool"
    done
    [ -z "$missing" ] || skip "these programs are not installed:$missing (moodle-tests/run.sh packages names their packages)"
    for extension in curl gd intl mbstring mysqli soap xml zip; do
        php -m | grep -qix "$extension" || missing="$missing $extension"
    done
    [ -z "$missing" ] || skip "PHP has no extension:$missing"
    if grep -q "^\$branch *= *'405'" "$(es_code "$moodle")/version.php" && php -r 'exit((int) (PHP_VERSION_ID < 80400));'; then
        skip "Moodle 4.5 runs on PHP 8.1 to 8.3, and this is $(php -r 'echo PHP_VERSION;')"
    fi
    # Asked of Moodle itself: 8.2 for 5.0 and 5.1, 8.3 from 5.2 on.
    php -r 'require($argv[1]); exit(moodle_minimum_php_version_is_met() ? 0 : 1);' "$(es_code "$moodle")/lib/phpminimumversionlib.php" ||
        skip "this Moodle wants a newer PHP than $(php -r 'echo PHP_VERSION;')"
}

begin() {
    need_moodle
    need_tools
    es_begin
    chown "$web" "$work/log" "$work/tmp" "$work/run"
    es_extension
    [ -n "${MOODLE_TESTS_INI:-}" ] || { es_redis_start; es_serve_start; }
    es_copy
}

serve_site() {
    es_site; es_web_start; es_vars
}

case $command in
moodle)
    begin
    serve_site
    cat <<TEXT

Moodle is at   http://127.0.0.1:$http_port/course/view.php?name=MATHS
  students     student01 … student20     $PASSWORD
  invigilator  invigilator               $PASSWORD
  admin        admin                     $ADMIN_PASSWORD
Ctrl-C ends it and leaves nothing behind.

TEXT
    # In the background, so that Ctrl-C need not wait for it.
    while sleep 60 & wait $!; do
        es_php "$site/admin/cli/cron.php" --keep-alive=0 > "$work/log/cron.log" 2>&1 & wait $!
    done
    ;;
test)
    full='' only=''
    for word; do case $word in full) full=full ;; *) only=$word ;; esac; done
    begin
    summary=
    if [ "$only" != browser ]; then
        es_suite 'PHPUnit of the plugin' phpunit.log es_phpunit --testsuite local_examstream_testsuite
        [ -z "$full" ] || es_suite "core's mod_quiz, same without us" core.log es_compare_core
    fi
    if [ "$only" != phpunit ]; then
        serve_site
        # shellcheck disable=SC2086 # nothing or one word
        es_suite 'browser' browser.log es_browser $full
    fi
    printf '\n%s' "$summary"
    case $summary in *FAILED*) exit 1 ;; esac
    ;;
browser)
    begin
    serve_site
    es_browser "$@"
    ;;
bench-door)
    begin
    fpm_output=no # as Debian's php-fpm comes
    serve_site
    es_node "$here/browser/bench-door.mjs"
    ;;
bench-board)
    begin
    serve_site
    es_node "$here/browser/bench-board.mjs"
    ;;
amd)
    need_moodle; es_begin; es_copy
    es_amd
    rm -rf "$repo/moodle-plugin/amd/build"
    cp -R "$code/local/examstream/amd/build" "$repo/moodle-plugin/amd/build"
    ;;
at) # work directory, function, arguments: the browser tests handle the servers of a running site by this
    work=$1; shift
    . "$work/vars"
    "$@"
    ;;
phpunit)
    begin
    [ $# -gt 0 ] || set -- --testsuite local_examstream_testsuite
    es_phpunit "$@"
    ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
